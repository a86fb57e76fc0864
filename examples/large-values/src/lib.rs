//! Measures values of any size in constant memory. At most one chunk of a value is in the guest at a time.

use std::io::{self, BufRead};

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct LargeValues;

impl HandleWatch for LargeValues {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let Measure { bytes, lines } = measure(payload)?;
        println!("{key}: {bytes} bytes, {lines} lines");
        Ok(())
    }
}

#[derive(Debug, Default, PartialEq)]
struct Measure {
    bytes: u64,
    lines: u64,
}

/// Counts bytes and lines. The rest after the last newline is a line too.
///
/// `BufRead::lines` would keep a whole line in memory, and a value can be a single line.
fn measure(mut value: impl BufRead) -> io::Result<Measure> {
    let mut measure = Measure::default();
    let mut last = b'\n';
    loop {
        let chunk = value.fill_buf()?;
        let Some(&end) = chunk.last() else { break };
        last = end;
        measure.bytes += chunk.len() as u64;
        measure.lines += chunk.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
        let used = chunk.len();
        value.consume(used);
    }
    measure.lines += u64::from(last != b'\n');
    Ok(measure)
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::{Content, Personality, TestHost};

    use super::{LargeValues, Measure, measure};

    #[test]
    fn replays_the_recorded_events() {
        let outcomes = TestHost::<LargeValues>::new().replay("events.jsonl").unwrap();
        assert_eq!(outcomes.len(), 4);
        for outcome in outcomes {
            outcome.expect_handled();
        }
    }

    #[test]
    fn counts_bytes_and_lines() {
        for (text, lines) in [("", 0), ("\n", 1), ("one", 1), ("one\n", 1), ("one\ntwo", 2), ("one\n\ntwo\n", 3)] {
            let bytes = text.len() as u64;
            assert_eq!(measure(text.as_bytes()).unwrap(), Measure { bytes, lines }, "{text:?}");
        }
    }

    #[test]
    fn measures_a_large_value() {
        // The content is generated during the read, with 64 bytes in each line. No memory holds all of it.
        let large = Content::repeat(format!("{:063}\n", 0), 1 << 27);
        let mut host = TestHost::<LargeValues>::new();
        assert_eq!(measure(host.payload(large)).unwrap(), Measure { bytes: 1 << 27, lines: 1 << 21 });
        assert_eq!(host.settle(), []);
    }

    #[test]
    fn a_value_that_breaks_off_is_not_measured() {
        let personality = Personality::deviating(|host| host.read.error_at = Some(70_000));
        let mut host = TestHost::<LargeValues>::with(personality);
        let failure = host.set("backups/monday", Content::repeat("row\n", 100_000)).expect_failure();
        assert_eq!(
            failure,
            r#"on-set of "backups/monday" failed: the stream failed at `read`; the draft gives no reason"#
        );
    }

    #[test]
    fn is_right_or_fails_on_every_host() {
        for (name, personality) in Personality::all() {
            let mut host = TestHost::<LargeValues>::with(personality);
            if let Ok(measure) = measure(host.payload(Content::repeat("row\n", 100_000))) {
                assert_eq!(measure, Measure { bytes: 100_000, lines: 25_000 }, "{name}");
            }
            assert_eq!(host.settle(), [], "{name}");
        }
    }
}
