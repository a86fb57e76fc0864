//! A line on standard output for every change: which it is of the instance, the key, and how large its text is.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

/// Lives as long as its instance. Some hosts keep that for all events, others make a fresh one for each.
#[handle_watch]
#[derive(Default)]
struct Watcher {
    changes: u64,
}

impl HandleWatch for Watcher {
    /// An error, as `?` gives, fails the event: it traps, and is told on standard error.
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let text = payload.into_string()?;
        self.changes += 1;
        let (changes, characters) = (self.changes, text.chars().count());
        println!("{changes}: {key} is set to {characters} characters");
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        self.changes += 1;
        println!("{}: {key} is deleted", self.changes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::TestHost;

    use super::Watcher;

    #[test]
    fn counts_the_recorded_events() {
        let mut host = TestHost::<Watcher>::new();
        for outcome in host.replay("events.jsonl").unwrap() {
            outcome.expect_handled();
        }
        assert_eq!(host.watcher().unwrap().changes, 3);
    }

    #[test]
    fn takes_nothing_but_text() {
        let mut host = TestHost::<Watcher>::new();
        let failure = host.set("avatars/ada", &b"\x89PNG"[..]).expect_failure();
        assert!(failure.contains("avatars/ada"), "{failure}");
    }
}
