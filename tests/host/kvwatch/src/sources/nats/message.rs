use async_nats::HeaderMap;
use bytes::Bytes;

use crate::serve::Change;

/// The change that a message of a bucket's stream stands for (D8).
///
/// - A message with `Nats-Marker-Reason` is the server's own note that a key expired or was purged. Only this header says
///   so: such a message may have no `KV-Operation`.
/// - `KV-Operation: DEL` and `PURGE` are deletes.
/// - Every other message is a put. An unknown operation is a put too, because the key has a value then.
pub(crate) fn change(headers: Option<&HeaderMap>, payload: &Bytes) -> Change {
    let header = |name: &str| headers.and_then(|headers| headers.get(name)).map(async_nats::HeaderValue::as_str);
    if header("Nats-Marker-Reason").is_some() || matches!(header("KV-Operation"), Some("DEL" | "PURGE")) {
        Change::Delete
    } else {
        Change::Set(payload.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(headers: &[(&str, &str)], payload: &'static str) -> Change {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        change(Some(&map), &Bytes::from_static(payload.as_bytes()))
    }

    #[test]
    fn d8_a_put_is_a_set_and_the_rest_is_a_delete() {
        assert_eq!(change(None, &Bytes::from_static(b"v")), Change::Set("v".into()));
        assert_eq!(change(None, &Bytes::new()), Change::Set(Bytes::new()));
        assert_eq!(mapped(&[("KV-Operation", "DEL")], ""), Change::Delete);
        assert_eq!(mapped(&[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")], ""), Change::Delete);
        assert_eq!(mapped(&[("KV-Operation", "WEIRD")], "x"), Change::Set("x".into()));
        assert_eq!(mapped(&[("Nats-Pin-Id", "p")], "x"), Change::Set("x".into()));
    }

    #[test]
    fn d8_an_expiry_is_a_delete_without_an_operation() {
        assert_eq!(mapped(&[("Nats-Marker-Reason", "MaxAge"), ("Nats-TTL", "5m")], ""), Change::Delete);
        assert_eq!(mapped(&[("Nats-Marker-Reason", "Purge"), ("KV-Operation", "PURGE")], ""), Change::Delete);
    }
}
