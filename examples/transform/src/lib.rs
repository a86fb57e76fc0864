//! Streams payloads into values: those of `logs/…` compressed, and those of `mirror/…` unchanged. Neither is ever in memory as a
//! whole. This world has no call that takes a value, so the host decides what happens to it.
//!
//! With the draft's `forward`, the host can make a copy, and no byte of it enters the component. But most hosts of the draft's
//! time trapped on `forward`, and a component cannot catch a trap. So the choice is made when the component is built: it uses
//! `io::copy`, which works on every host, unless the feature `forward` is on.

use std::io;

use flate2::Compression;
use flate2::write::GzEncoder;
use inbound_keyvalue::{Bucket, Error, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Transform;

impl HandleWatch for Transform {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        if key.starts_with("logs/") {
            let bytes = compress(payload, Value::new())?;
            println!("compressed {bytes} bytes of {key}");
        } else if key.starts_with("mirror/") {
            let bytes =
                if cfg!(feature = "forward") { forward(payload, Value::new())? } else { copy(payload, Value::new())? };
            println!("copied {bytes} bytes of {key}");
        }
        Ok(())
    }
}

fn compress(mut payload: Payload, value: Value) -> io::Result<u64> {
    let mut encoder = GzEncoder::new(value, Compression::default());
    let bytes = io::copy(&mut payload, &mut encoder)?;
    // A value that is only dropped cannot report that a write has failed.
    encoder.finish()?.finish()?;
    Ok(bytes)
}

fn copy(mut payload: Payload, mut value: Value) -> io::Result<u64> {
    let bytes = io::copy(&mut payload, &mut value)?;
    value.finish()?;
    Ok(bytes)
}

fn forward(payload: Payload, mut value: Value) -> Result<u64, Error> {
    let bytes = value.body()?.forward(&mut payload.into_stream()?)?;
    value.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _};

    use flate2::read::GzDecoder;
    use inbound_keyvalue::Value;
    use inbound_keyvalue::testing::{Content, Ending, Personality, TestHost};

    use super::{Transform, copy, forward};

    fn decompress(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut decompressed = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut decompressed)?;
        Ok(decompressed)
    }

    #[test]
    fn replays_the_recorded_events() {
        let outcomes = TestHost::<Transform>::new().replay("events.jsonl").unwrap();
        let values: Vec<usize> = outcomes.iter().map(|outcome| outcome.values.len()).collect();
        assert_eq!(values, [1, 1, 1, 0, 0]);
        for outcome in outcomes {
            outcome.expect_handled();
        }
    }

    #[test]
    fn compresses() {
        let outcome = TestHost::<Transform>::new().set("logs/today", Content::repeat("GET /\n", 100_000));
        outcome.expect_handled();
        assert!(outcome.values[0].len < 1000);
        assert_eq!(decompress(&outcome.values[0].bytes).unwrap(), "GET /\n".repeat(100_000).as_bytes()[..100_000]);
    }

    #[test]
    fn copies_both_ways() {
        let mut host = TestHost::<Transform>::new();
        assert_eq!(copy(host.payload("hello"), Value::new()).unwrap(), 5);
        assert_eq!(forward(host.payload("hello"), Value::new()).unwrap(), 5);
        assert_eq!(host.settle(), []);
        assert!(host.host().values().iter().all(|value| value.bytes == b"hello"));
    }

    #[test]
    fn brings_no_byte_of_a_copy_into_memory_if_asked_to() {
        let outcome = TestHost::<Transform>::new().set("mirror/large", Content::repeat("GET /\n", 1 << 20));
        outcome.expect_handled();
        assert_eq!(outcome.calls < 10, cfg!(feature = "forward"));
    }

    #[test]
    fn copies_on_a_host_without_forward_unless_asked_to_use_it() {
        let personality = Personality::named("splice-and-forward-trap").unwrap();
        let outcome = TestHost::<Transform>::with(personality).set("mirror/ada", "hello");
        assert_eq!(matches!(outcome.ending, Ending::Trapped(_)), cfg!(feature = "forward"));
    }

    #[test]
    fn tells_of_a_write_that_failed() {
        let personality = Personality::deviating(|host| host.write.error_at = Some(5));
        let failure = TestHost::<Transform>::with(personality).set("logs/today", "GET /\n").expect_failure();
        assert_eq!(
            failure,
            r#"on-set of "logs/today" failed: the stream failed at `write`; the draft gives no reason"#
        );
    }

    #[test]
    fn is_right_or_fails_on_every_host() {
        let text = "GET /\n".repeat(20_000);
        for (name, personality) in Personality::all() {
            let mut host = TestHost::<Transform>::with(personality);
            let compressed = host.set("logs/today", text.clone());
            if compressed.ending == Ending::Handled {
                assert!(decompress(&compressed.values[0].bytes).unwrap() == text.as_bytes(), "{name}");
            }
            let copied = host.set("mirror/today", text.clone());
            if copied.ending == Ending::Handled {
                assert!(copied.values[0].bytes == text.as_bytes(), "{name}");
            }
        }
    }
}
