//! Checks the values under `orders/`. If a value is not an `Order` in JSON, its event fails.

use std::num::NonZeroU32;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
use serde::Deserialize;

#[handle_watch]
#[derive(Default)]
struct JsonSchema;

impl HandleWatch for JsonSchema {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        // Other keys belong to others. Their payloads are dropped, and not a byte of them is read.
        let Some(number) = key.strip_prefix("orders/") else { return Ok(()) };
        // The error has the fault with its line and column. The SDK adds the key.
        let order: Order = payload.into_json()?;
        println!("order {number}: {} pieces for {}", order.pieces(), order.customer);
        Ok(())
    }
}

/// The schema. Its types describe valid orders, and `deny_unknown_fields` forbids other fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    customer: String,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[expect(dead_code, reason = "the field is checked and not used")]
    article: String,
    quantity: NonZeroU32,
}

impl Order {
    fn pieces(&self) -> u64 {
        self.lines.iter().map(|line| u64::from(line.quantity.get())).sum()
    }
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::{Ending, Personality, TestHost};

    use super::JsonSchema;

    const GOOD: &str = r#"{"customer":"ada","lines":[{"article":"punch cards","quantity":500}]}"#;
    const NONE_ORDERED: &str = r#"{"customer":"ada","lines":[{"article":"punch cards","quantity":0}]}"#;

    #[test]
    fn replays_the_recorded_events() {
        let outcomes = TestHost::<JsonSchema>::new().replay("events.jsonl").unwrap();
        let handled: Vec<bool> = outcomes.iter().map(|outcome| outcome.ending == Ending::Handled).collect();
        assert_eq!(handled, [true, true, false, true, true]);
    }

    #[test]
    fn says_where_and_what_is_wrong() {
        let two_lines = "{\n\"customer\":7}";
        for (order, wrong) in [
            (NONE_ORDERED, "invalid value: integer `0`, expected a nonzero u32 at line 1 column 64"),
            (two_lines, "invalid type: integer `7`, expected a string at line 2 column 12"),
            (r#"{"customer":"ada"}"#, "missing field `lines` at line 1 column 18"),
            (
                r#"{"customer":"ada","note":1}"#,
                "unknown field `note`, expected `customer` or `lines` at line 1 column 24",
            ),
            ("", "EOF while parsing a value at line 1 column 0"),
        ] {
            let failure = TestHost::<JsonSchema>::new().set("orders/7", order).expect_failure();
            assert!(failure.starts_with(r#"on-set of "orders/7" failed: "#), "{failure}");
            assert!(failure.contains(wrong), "{failure}");
        }
    }

    #[test]
    fn does_not_read_what_others_write() {
        let outcome = TestHost::<JsonSchema>::new().set("avatars/ada", "not JSON");
        outcome.expect_handled();
        // The payload and the bucket were dropped.
        assert_eq!(outcome.calls, 2);
    }

    #[test]
    fn accepts_no_bad_order_on_any_host() {
        for (name, personality) in Personality::all() {
            let refuses = personality.consume_sync_error.is_some();
            let mut host = TestHost::<JsonSchema>::with(personality);
            assert_eq!(host.set("orders/7", GOOD).ending == Ending::Handled, !refuses, "{name}");
            assert_ne!(host.set("orders/8", NONE_ORDERED).ending, Ending::Handled, "{name}");
        }
    }
}
