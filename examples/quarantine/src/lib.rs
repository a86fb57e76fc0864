//! Checks orders. A value under `orders/` that is not an order moves to `quarantine/`, with the reason beside it.

use std::num::NonZeroU32;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};
use serde::Deserialize;

#[handle_watch]
#[derive(Default)]
struct Quarantine;

/// A valid order. `deny_unknown_fields` forbids other fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    customer: String,
    quantity: NonZeroU32,
}

impl HandleWatch for Quarantine {
    fn on_set(&mut self, bucket: Bucket, key: Key, _payload: Payload) -> HandlerResult {
        // Only orders are checked. The keys that the watcher itself writes start with `quarantine`.
        if !key.starts_with("orders/") {
            return Ok(());
        }
        // The store is read, and not the payload. Since the event, a good order may have replaced the bad one, and must stay in
        // its place.
        let Some(order) = bucket.try_get(key)? else { return Ok(()) };
        let order = order.into_bytes()?;
        let (copy, reason) = (format!("quarantine/{key}"), format!("quarantine-reason/{key}"));
        match serde_json::from_slice::<Order>(&order) {
            Ok(order) => {
                // An earlier value of this key may have been bad. This good value settles it.
                bucket.delete_many(&[copy, reason])?;
                println!("{key}: {} pieces for {}", order.quantity, order.customer);
            }
            Err(error) => {
                // The copy is written before the original is deleted. If something fails between the two, the value is not lost.
                bucket
                    .set_many([(copy, Value::from_bytes(&order)?), (reason, Value::from_bytes(error.to_string())?)])?;
                bucket.delete_many(&[key])?;
                println!("{key}: quarantined, {error}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::StoreCall;
    use inbound_keyvalue::testing::TestHost;

    use super::Quarantine;

    const GOOD: &str = r#"{"customer":"ada","quantity":500}"#;
    const BAD: &str = r#"{"customer":"ada","quantity":0}"#;

    fn text(host: &TestHost<Quarantine>, key: &str) -> Option<String> {
        host.bucket("watched").text(key)
    }

    #[test]
    fn replays_the_recorded_events() {
        let mut host = TestHost::<Quarantine>::new();
        host.replay("events.jsonl").unwrap().iter().for_each(|outcome| outcome.expect_handled());
        let keys = host.bucket("watched").keys();
        assert_eq!(keys, ["avatars/ada", "orders/7", "orders/8", "quarantine-reason/orders/9", "quarantine/orders/9"]);
        assert_eq!(text(&host, "quarantine/orders/9").as_deref(), Some("two relays, please"));
    }

    #[test]
    fn a_bad_order_moves_with_every_byte_and_the_reason() {
        let mut host = TestHost::<Quarantine>::new();
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        host.set("orders/7", &bytes).expect_handled();
        assert_eq!(text(&host, "orders/7"), None);
        assert_eq!(host.bucket("watched").get("quarantine/orders/7"), Some(bytes));
        host.set("orders/7", BAD).expect_handled();
        let reason = text(&host, "quarantine-reason/orders/7").unwrap();
        assert!(reason.starts_with("invalid value: integer `0`, expected a nonzero u32 at line 1"), "{reason}");
    }

    #[test]
    fn a_good_order_settles_an_earlier_bad_one() {
        let mut host = TestHost::<Quarantine>::new();
        host.set("orders/7", BAD).expect_handled();
        host.set("orders/7", GOOD).expect_handled();
        assert_eq!(host.bucket("watched").keys(), ["orders/7"]);
    }

    #[test]
    fn an_event_may_come_twice_and_its_writes_may_come_back() {
        let mut host = TestHost::<Quarantine>::new();
        host.feed(1).set("orders/7", BAD).expect_handled();
        let before = host.bucket("watched").keys();
        // The same event comes again. Its order has been moved already.
        host.bucket("watched").remove("orders/7");
        let (bucket, payload) = (host.event_bucket(), host.payload(BAD));
        inbound_keyvalue::HandleWatch::on_set(&mut Quarantine, bucket, "orders/7", payload).unwrap();
        assert_eq!(host.settle(), []);
        assert_eq!(host.bucket("watched").keys(), before);
    }

    #[test]
    fn a_failure_loses_no_value() {
        for call in [StoreCall::Exists, StoreCall::Get, StoreCall::SetMany, StoreCall::DeleteMany] {
            let mut host = TestHost::<Quarantine>::new();
            host.refuse_next(call, "the store is being moved");
            assert!(host.set("orders/7", BAD).expect_failure().contains("the store is being moved"));
            assert_eq!(text(&host, "orders/7").as_deref(), Some(BAD), "{call}");
            host.set("orders/7", BAD).expect_handled();
            assert_eq!(text(&host, "orders/7"), None);
            assert_eq!(text(&host, "quarantine/orders/7").as_deref(), Some(BAD));
        }
    }

    #[test]
    fn a_batch_that_fails_half_way_loses_no_value() {
        use inbound_keyvalue::testing::Personality;
        let mut host = TestHost::<Quarantine>::with(Personality::named("batches-fail-half-way").unwrap());
        let _ = host.set("orders/7", BAD).expect_failure();
        assert_eq!(text(&host, "orders/7").as_deref(), Some(BAD));
    }
}
