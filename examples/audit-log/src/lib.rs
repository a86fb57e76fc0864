//! Prints a line for each change: the key, and for a set the size of the value and its SHA-256.

use std::fmt;

use inbound_keyvalue::{Bucket, Error, HandleWatch, HandlerResult, Key, Payload, handle_watch};
use sha2::{Digest, Sha256};

#[handle_watch]
#[derive(Default)]
struct AuditLog;

impl HandleWatch for AuditLog {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let fingerprint = Fingerprint::of(payload)?;
        // `{:?}` escapes the key, because a key with a newline could fake a line of this log.
        println!("set {key:?} {fingerprint}");
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        println!("delete {key:?}");
        Ok(())
    }
}

/// The facts about a payload that the log keeps. They are small for a payload of any size.
#[derive(Debug, PartialEq)]
struct Fingerprint {
    bytes: u64,
    sha256: [u8; 32],
}

impl Fingerprint {
    /// Reads a payload in chunks, so that only one chunk is in memory.
    fn of(payload: Payload) -> Result<Self, Error> {
        let mut bytes = 0;
        let mut sha256 = Sha256::new();
        for chunk in payload.into_stream()?.chunks() {
            let chunk = chunk?;
            // The bytes are counted here, because `size` is only a hint.
            bytes += chunk.len() as u64;
            sha256.update(&chunk);
        }
        Ok(Self { bytes, sha256: sha256.finalize().into() })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={} sha256=", self.bytes)?;
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::{Content, Personality, TestHost};

    use super::{AuditLog, Fingerprint};

    /// The output of `printf abc | sha256sum`.
    const ABC: &str = "bytes=3 sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn replays_the_recorded_events() {
        let outcomes = TestHost::<AuditLog>::new().replay("events.jsonl").unwrap();
        assert_eq!(outcomes.len(), 5);
        for outcome in outcomes {
            outcome.expect_handled();
        }
    }

    #[test]
    fn tells_size_and_digest() {
        let mut host = TestHost::<AuditLog>::new();
        let fingerprint = Fingerprint::of(host.payload("abc")).unwrap();
        assert_eq!(fingerprint.to_string(), ABC);
        assert_eq!(host.settle(), []);
    }

    #[test]
    fn logs_no_digest_of_half_a_payload() {
        let personality = Personality::deviating(|host| host.read.error_at = Some(70_000));
        let mut host = TestHost::<AuditLog>::with(personality);
        let failure = host.set("logs/today", Content::repeat("GET /\n", 100_000)).expect_failure();
        assert_eq!(failure, r#"on-set of "logs/today" failed: the stream failed at `read`; the draft gives no reason"#);
    }

    #[test]
    fn is_right_or_fails_on_every_host() {
        let content = Content::repeat("GET /\n", 100_000);
        let right = Fingerprint::of(TestHost::<AuditLog>::new().payload(content.clone())).unwrap();
        for (name, personality) in Personality::all() {
            let mut host = TestHost::<AuditLog>::with(personality);
            if let Ok(fingerprint) = Fingerprint::of(host.payload(content.clone())) {
                assert_eq!(fingerprint, right, "{name}");
            }
            assert_eq!(host.settle(), [], "{name}");
        }
    }
}
