//! Adds up sales. `sales/SHOP` is set to an amount in cents, and `totals/SHOP` is the sum of what the shop has sold.
//!
//! The totals are in the store and not in the watcher, and `increment` is atomic. So the totals are right on every host: on one
//! that keeps an instance, on one that makes a fresh instance for each event, and on one that runs several instances at a time.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct RunningTotals;

impl HandleWatch for RunningTotals {
    fn on_set(&mut self, bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        // The watcher's own writes to `totals/…` may come back as events. It ignores them like all other keys.
        let Some(shop) = key.strip_prefix("sales/") else { return Ok(()) };
        let amount = payload.into_string()?.trim().parse()?;
        // This is the last step. An event that fails has not changed a total, so the host may try it again.
        let total = bucket.increment(total_of(shop), amount)?;
        println!("{shop}: {amount} cents, {total} in all");
        Ok(())
    }

    fn on_delete(&mut self, bucket: Bucket, key: Key) -> HandlerResult {
        let Some(shop) = key.strip_prefix("sales/") else { return Ok(()) };
        // A shop without a total is no error.
        bucket.delete_many(&[total_of(shop)])?;
        println!("{shop} is closed");
        Ok(())
    }
}

fn total_of(shop: &str) -> String {
    format!("totals/{shop}")
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::StoreCall;
    use inbound_keyvalue::testing::{Ending, Instance, Personality, TestHost};

    use super::RunningTotals;

    fn total(host: &TestHost<RunningTotals>, shop: &str) -> Option<u64> {
        host.bucket("watched").text(super::total_of(shop)).map(|total| total.parse().unwrap())
    }

    #[test]
    fn replays_the_recorded_events() {
        let mut host = TestHost::<RunningTotals>::new();
        let outcomes = host.replay("events.jsonl").unwrap();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.ending != Ending::Handled).count(), 1);
        assert_eq!(total(&host, "oslo"), Some(1750));
        assert_eq!(total(&host, "turin"), None);
    }

    #[test]
    fn counts_on_in_a_fresh_instance() {
        let personality = Personality::deviating(|host| host.instance = Instance::PerEvent);
        for mut host in [TestHost::<RunningTotals>::new(), TestHost::with(personality)] {
            for _ in 0..3 {
                host.set("sales/oslo", "500").expect_handled();
            }
            host.fresh_instance();
            host.set("sales/oslo", "250").expect_handled();
            assert_eq!(total(&host, "oslo"), Some(1750));
        }
    }

    #[test]
    fn an_event_that_failed_counts_once_when_it_is_tried_again() {
        let mut host = TestHost::<RunningTotals>::new();
        host.refuse_next(StoreCall::Increment, "the store is being moved");
        assert!(host.set("sales/oslo", "1200").expect_failure().contains("the store is being moved"));
        assert_eq!(total(&host, "oslo"), None);
        host.set("sales/oslo", "1200").expect_handled();
        assert_eq!(total(&host, "oslo"), Some(1200));
    }

    #[test]
    fn a_bad_amount_counts_nothing() {
        let mut host = TestHost::<RunningTotals>::new();
        host.set("sales/oslo", "1200").expect_handled();
        let failure = host.set("sales/oslo", "12.00").expect_failure();
        assert_eq!(failure, r#"on-set of "sales/oslo" failed: invalid digit found in string"#);
        assert_eq!(total(&host, "oslo"), Some(1200));
    }

    #[test]
    fn a_total_that_is_too_large_stays_as_it_was() {
        let mut host = TestHost::<RunningTotals>::new();
        host.set("sales/oslo", u64::MAX.to_string()).expect_handled();
        assert!(host.set("sales/oslo", "1").expect_failure().contains("would exceed"));
        assert_eq!(total(&host, "oslo"), Some(u64::MAX));
    }

    #[test]
    fn its_own_writes_do_not_come_back_for_ever() {
        let mut host = TestHost::<RunningTotals>::new();
        host.feed(1).set("sales/oslo", "1200").expect_handled();
        assert_eq!(total(&host, "oslo"), Some(1200));
    }

    #[test]
    fn counts_what_it_handled_on_every_host() {
        for (name, personality) in Personality::all() {
            let mut host = TestHost::<RunningTotals>::with(personality);
            let handled = (0..10).filter(|_| host.set("sales/oslo", "100").ending == Ending::Handled).count() as u64;
            assert_eq!(total(&host, "oslo").unwrap_or(0), 100 * handled, "{name}");
        }
    }
}
