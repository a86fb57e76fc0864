//! Adds up sales: whatever `sales/SHOP` is set to is an amount in cents, and a line tells what the shop has sold so far.
//!
//! The totals live in the watcher, and the watcher lives as long as its instance. A host that keeps the instance gets running
//! totals. A host that makes a fresh one for every event gets each amount as a total of its own, and can tell so from the
//! line: it always says `sale 1`. What must last longer than an instance has to be kept elsewhere.

use std::collections::BTreeMap;

use inbound_keyvalue::{Bucket, Failure, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct RunningTotals {
    shops: BTreeMap<String, Total>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Total {
    sales: u64,
    cents: u64,
}

impl HandleWatch for RunningTotals {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let Some(shop) = key.strip_prefix("sales/") else { return Ok(()) };
        let amount = payload.into_string()?.trim().parse()?;
        let total = self.add(shop, amount)?;
        println!("{shop}: sale {}, {} cents in all", total.sales, total.cents);
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        if let Some(total) = key.strip_prefix("sales/").and_then(|shop| self.shops.remove(shop)) {
            println!("{key} is closed, after {} sales of {} cents", total.sales, total.cents);
        }
        Ok(())
    }

    /// A trap would take the instance with it, and with that everybody's totals: too much for one bad amount.
    fn on_error(&mut self, failure: Failure) {
        eprintln!("{failure}");
    }
}

impl RunningTotals {
    fn add(&mut self, shop: &str, amount: u64) -> Result<Total, &'static str> {
        let total = self.shops.entry(shop.to_owned()).or_default();
        total.cents = total.cents.checked_add(amount).ok_or("the total is more than can be counted")?;
        total.sales += 1;
        Ok(*total)
    }
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::{Ending, Instance, Personality, TestHost};

    use super::{RunningTotals, Total};

    fn total(host: &TestHost<RunningTotals>, shop: &str) -> Option<Total> {
        host.watcher()?.shops.get(shop).copied()
    }

    #[test]
    fn replays_the_recorded_events() {
        let mut host = TestHost::<RunningTotals>::new();
        let outcomes = host.replay("events.jsonl").unwrap();
        assert_eq!(outcomes.iter().filter(|outcome| outcome.ending != Ending::Handled).count(), 1);
        assert_eq!(total(&host, "oslo"), Some(Total { sales: 2, cents: 1750 }));
        assert_eq!(total(&host, "turin"), None);
    }

    #[test]
    fn starts_anew_with_every_instance() {
        let mut host = TestHost::<RunningTotals>::new();
        host.set("sales/oslo", "1200").expect_handled();
        host.fresh_instance();
        host.set("sales/oslo", "550").expect_handled();
        assert_eq!(total(&host, "oslo"), Some(Total { sales: 1, cents: 550 }));
    }

    #[test]
    fn has_no_past_where_every_event_has_its_own_instance() {
        let personality = Personality::deviating(|host| host.instance = Instance::PerEvent);
        let mut host = TestHost::<RunningTotals>::with(personality);
        host.set("sales/oslo", "1200").expect_handled();
        host.set("sales/oslo", "550").expect_handled();
        assert_eq!(total(&host, "oslo"), Some(Total { sales: 1, cents: 550 }));
    }

    #[test]
    fn goes_on_after_a_bad_amount() {
        let mut host = TestHost::<RunningTotals>::new();
        host.set("sales/oslo", "1200").expect_handled();
        let outcome = host.set("sales/oslo", "12.00");
        let failure = r#"on-set of "sales/oslo" failed: invalid digit found in string"#;
        assert_eq!(outcome.ending, Ending::Noted(failure.to_owned()));
        assert_eq!(total(&host, "oslo"), Some(Total { sales: 1, cents: 1200 }));
    }

    #[test]
    fn does_not_count_past_the_end() {
        let mut host = TestHost::<RunningTotals>::new();
        host.set("sales/oslo", u64::MAX.to_string()).expect_handled();
        assert!(host.set("sales/oslo", "1").expect_failure().ends_with("the total is more than can be counted"));
        assert_eq!(total(&host, "oslo"), Some(Total { sales: 1, cents: u64::MAX }));
    }

    #[test]
    fn loses_no_total_on_any_host_that_keeps_the_instance() {
        for (name, personality) in Personality::all() {
            let kept = personality.instance == Instance::Kept;
            let mut host = TestHost::<RunningTotals>::with(personality);
            let sales = (0..10).filter(|_| host.set("sales/oslo", "100").ending == Ending::Handled).count() as u64;
            let counted = total(&host, "oslo").map_or(0, |total| total.sales);
            assert_eq!(counted, if kept { sales } else { 1 }, "{name}");
        }
    }
}
