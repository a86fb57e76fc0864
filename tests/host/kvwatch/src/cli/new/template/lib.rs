//! Prints a line for each change: the number of the change in this instance, the key, and the length of the text.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

/// The state of an instance. Some hosts keep one instance for all events, and others make a new one for each event.
#[handle_watch]
#[derive(Default)]
struct Watcher {
    changes: u64,
}

impl HandleWatch for Watcher {
    /// An error from `?` makes the event trap. Its message goes to standard error.
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        let text = payload.into_string()?;
        self.changes += 1;
        let (changes, characters) = (self.changes, text.chars().count());
        println!("{changes}: {key} is set to a text of length {characters}");
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
    fn a_value_that_is_not_text_fails() {
        let mut host = TestHost::<Watcher>::new();
        let failure = host.set("avatars/ada", &b"\x89PNG"[..]).expect_failure();
        assert!(failure.contains("avatars/ada"), "{failure}");
    }
}
