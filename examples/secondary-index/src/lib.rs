//! Keeps an index of users by their email. For each user `users/ID` with an email there is the key `by-email/EMAIL/ID`.
//! `part_of_key` writes the email as a part of a key.
//!
//! An event only says that a user may have changed. The watcher reads the user's present value from the store. So an event may
//! come twice, and two events may come in any order: after the last one, the index fits the store.

use std::fmt::Write as _;

use inbound_keyvalue::{Bucket, Error, HandleWatch, HandlerResult, Key, Payload, handle_watch};
use serde::Deserialize;

#[handle_watch]
#[derive(Default)]
struct SecondaryIndex;

#[derive(Deserialize)]
struct User {
    email: Option<String>,
}

impl HandleWatch for SecondaryIndex {
    fn on_set(&mut self, bucket: Bucket, key: Key, _payload: Payload) -> HandlerResult {
        // The payload may be old. It is dropped without a read.
        update(&bucket, key)
    }

    fn on_delete(&mut self, bucket: Bucket, key: Key) -> HandlerResult {
        update(&bucket, key)
    }
}

/// Makes the index fit the user that the store has now.
fn update(bucket: &Bucket, key: Key) -> HandlerResult {
    // The watcher's own writes may come back as events. They are not users.
    let Some(id) = key.strip_prefix("users/") else { return Ok(()) };
    let email = match bucket.try_get(key)? {
        Some(user) => user.into_json::<User>()?.email,
        None => None,
    };
    // The email under which the index has the user. Without this note, the old entry could not be found.
    let indexed_as = format!("indexed-as/{id}");
    let before = bucket.try_get(&indexed_as)?.map(Payload::into_string).transpose()?;
    if before != email {
        replace(bucket, id, &indexed_as, before.as_deref(), email.as_deref())?;
        println!("user {id}: {} -> {}", before.as_deref().unwrap_or("none"), email.as_deref().unwrap_or("none"));
    }
    Ok(())
}

/// The note is changed last. If the watcher fails before that, the next event of this user repeats all steps.
fn replace(
    bucket: &Bucket,
    id: &str,
    indexed_as: &str,
    before: Option<&str>,
    email: Option<&str>,
) -> Result<(), Error> {
    let entry = |email: &str| format!("by-email/{}/{id}", part_of_key(email));
    if let Some(email) = email {
        bucket.set_bytes(entry(email), id)?;
    }
    if let Some(before) = before {
        // An entry that is gone already is no error.
        bucket.delete_many(&[entry(before)])?;
    }
    match email {
        Some(email) => bucket.set_bytes(indexed_as, email),
        None => bucket.delete_many(&[indexed_as]),
    }
}

/// A text as a part of a key for every store. NATS allows few characters, and Redis allows all. Every other byte becomes `=` and
/// two digits.
fn part_of_key(text: &str) -> String {
    let mut part = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            part.push(char::from(byte));
        } else {
            // Writing to a string never fails.
            let _ = write!(part, "={byte:02X}");
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::{Change, Event, TestHost};
    use inbound_keyvalue::{HandleWatch as _, StoreCall};

    use super::SecondaryIndex;

    fn entries(host: &TestHost<SecondaryIndex>) -> Vec<String> {
        let mut keys = host.bucket("watched").keys();
        keys.retain(|key| key.starts_with("by-email/"));
        keys
    }

    /// The entries that the users of the store should have.
    fn due(host: &TestHost<SecondaryIndex>) -> Vec<String> {
        let users = host.bucket("watched");
        let keys = users.keys();
        let ids = keys.iter().filter_map(|key| key.strip_prefix("users/"));
        let mut due: Vec<String> = ids
            .filter_map(|id| {
                let user: super::User = serde_json::from_slice(&users.get(format!("users/{id}"))?).unwrap();
                Some(format!("by-email/{}/{id}", super::part_of_key(&user.email?)))
            })
            .collect();
        due.sort();
        due
    }

    /// Changes the store, and delivers nothing.
    fn store(host: &TestHost<SecondaryIndex>, event: &Event) {
        match &event.change {
            Change::Set(content) => _ = host.bucket("watched").insert(&event.key, content),
            Change::Delete => _ = host.bucket("watched").remove(&event.key),
        }
    }

    /// Delivers an event late: the store may have newer changes.
    fn deliver(host: &mut TestHost<SecondaryIndex>, event: &Event) {
        let bucket = host.event_bucket();
        match &event.change {
            Change::Set(content) => {
                let payload = host.payload(content);
                SecondaryIndex.on_set(bucket, &event.key, payload).unwrap();
            }
            Change::Delete => SecondaryIndex.on_delete(bucket, &event.key).unwrap(),
        }
        assert_eq!(host.settle(), []);
    }

    fn events() -> Vec<Event> {
        let user = |email: &str| format!("{{\"email\":\"{email}\"}}");
        vec![
            Event::set("users/1", user("ada@example.org")),
            Event::set("users/1", user("ada@example.com")),
            Event::set("users/1", "{}"),
            Event::delete("users/1"),
            Event::set("users/2", user("ada@example.org")),
            Event::delete("users/2"),
        ]
    }

    #[test]
    fn replays_the_recorded_events() {
        let mut host = TestHost::<SecondaryIndex>::new();
        host.replay("events.jsonl").unwrap().iter().for_each(|outcome| outcome.expect_handled());
        assert_eq!(
            entries(&host),
            ["by-email/ada=40example=2Ecom/1", "by-email/team=40example=2Eorg/2", "by-email/team=40example=2Eorg/3"]
        );
        assert_eq!(entries(&host), due(&host));
        assert_eq!(host.bucket("watched").text("by-email/ada=40example=2Ecom/1").as_deref(), Some("1"));
    }

    #[test]
    fn two_events_may_come_in_any_order_and_twice() {
        let all = events();
        for first in &all {
            for second in &all {
                for order in [&[first, second][..], &[second, first], &[first, second, first], &[second, first, second]]
                {
                    for start in &all {
                        let mut host = TestHost::<SecondaryIndex>::new();
                        host.event(start).expect_handled();
                        store(&host, first);
                        store(&host, second);
                        order.iter().for_each(|event| deliver(&mut host, event));
                        assert_eq!(entries(&host), due(&host), "{start:?}, then {order:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_failure_at_any_call_is_mended_by_the_next_delivery() {
        for call in [StoreCall::Exists, StoreCall::Get, StoreCall::Set, StoreCall::DeleteMany] {
            for event in events() {
                let mut host = TestHost::<SecondaryIndex>::new();
                host.set("users/1", "{\"email\":\"grace@example.org\"}").expect_handled();
                host.refuse_next(call, "the store is being moved");
                let _ = host.event(&event);
                // A call that did not happen in that event is refused in this one.
                let _ = host.event(&event);
                host.event(&event).expect_handled();
                assert_eq!(entries(&host), due(&host), "{call}, {event:?}");
            }
        }
    }

    #[test]
    fn every_email_has_a_key_of_its_own() {
        let emails = ["a.b@c", "a@b.c", "a=2Eb@c", "A.b@c", "ä@c", "a b@c", "a/b@c", ""];
        let parts: std::collections::BTreeSet<_> = emails.iter().map(|email| super::part_of_key(email)).collect();
        assert_eq!(parts.len(), emails.len());
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_=".contains(c);
        assert!(parts.iter().all(|part| part.chars().all(allowed)), "{parts:?}");
    }

    #[test]
    fn its_own_writes_change_nothing() {
        let mut host = TestHost::<SecondaryIndex>::new();
        host.feed(1).set("users/1", "{\"email\":\"ada@example.org\"}").expect_handled();
        host.delete("users/1").expect_handled();
        assert_eq!(host.bucket("watched").keys(), [""; 0]);
    }

    #[test]
    fn what_is_no_user_fails_and_keeps_the_entry() {
        let mut host = TestHost::<SecondaryIndex>::new();
        host.set("users/1", "{\"email\":\"ada@example.org\"}").expect_handled();
        assert!(host.set("users/1", "nonsense").expect_failure().contains("users/1"));
        assert_eq!(entries(&host), ["by-email/ada=40example=2Eorg/1"]);
    }
}
