//! Reads the values of keys.

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd, pipe};

/// The content of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Text(Bytes),
    Nothing,
    /// A value of a type that watchers do not get, with the name of the type.
    Other(String),
}

/// Reads all keys in one step.
pub(super) async fn read<K: AsRef<[u8]>>(
    commands: &mut MultiplexedConnection,
    keys: &[K],
) -> Result<Vec<Found>, RedisError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut get = cmd("MGET");
    for key in keys {
        get.arg(key.as_ref());
    }
    let values: Vec<Option<Vec<u8>>> = get.query_async(commands).await?;
    // A key without a string may have a value of another type.
    let mut types = pipe();
    for (key, _) in keys.iter().zip(&values).filter(|(_, value)| value.is_none()) {
        types.cmd("TYPE").arg(key.as_ref());
    }
    let types: Vec<String> = if types.is_empty() { Vec::new() } else { types.query_async(commands).await? };
    let mut types = types.into_iter();
    let found = values.into_iter().map(|value| match value {
        Some(value) => Found::Text(value.into()),
        None => match types.next() {
            // A key that became a string in between is announced again.
            None => Found::Nothing,
            Some(kind) if kind == "none" || kind == "string" => Found::Nothing,
            Some(kind) => Found::Other(kind),
        },
    });
    Ok(found.collect())
}
