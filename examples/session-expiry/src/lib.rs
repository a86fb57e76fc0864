//! Tracks live sessions. A session begins with the first set of `sessions/TENANT/USER/SESSION`. It ends with the delete of that
//! key, by which the store reports that it has expired.
//!
//! This instance does not know sessions that began before it. See `running-totals` for state that lasts longer.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use inbound_keyvalue::{Bucket, Failure, HandleWatch, HandlerResult, Key, Payload, handle_watch};

const PREFIX: &str = "sessions/";

#[handle_watch]
#[derive(Default)]
struct SessionExpiry {
    live: BTreeSet<SessionKey>,
}

impl HandleWatch for SessionExpiry {
    fn on_set(&mut self, _bucket: Bucket, key: Key, _payload: Payload) -> HandlerResult {
        let Some(session) = SessionKey::of(key)? else { return Ok(()) };
        let news = if self.live.contains(&session) { "was renewed" } else { "began" };
        println!("{session} {news}");
        self.live.insert(session);
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        let Some(session) = SessionKey::of(key)? else { return Ok(()) };
        let news = if self.live.remove(&session) { "expired" } else { "expired, and was not known to be live" };
        let left = self.live.iter().filter(|other| other.tenant == session.tenant).count();
        println!("{session} {news}: {left} left there");
        Ok(())
    }

    /// A trap would end the instance, and lose its knowledge of the live sessions.
    fn on_error(&mut self, failure: Failure) {
        eprintln!("{failure}");
    }
}

/// The parts of a session's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SessionKey {
    tenant: String,
    user: String,
    session: String,
}

impl SessionKey {
    /// `None` if the key does not belong to a session. An error if it does, but is malformed.
    fn of(key: Key) -> Result<Option<Self>, MalformedKey> {
        key.strip_prefix(PREFIX).map(str::parse).transpose()
    }
}

/// Parses the part after the prefix.
impl FromStr for SessionKey {
    type Err = MalformedKey;

    fn from_str(key: &str) -> Result<Self, MalformedKey> {
        match key.split('/').collect::<Vec<_>>()[..] {
            [tenant, user, session] if ![tenant, user, session].contains(&"") => {
                Ok(Self { tenant: tenant.to_owned(), user: user.to_owned(), session: session.to_owned() })
            }
            _ => Err(MalformedKey),
        }
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} of {} at {}", self.session, self.user, self.tenant)
    }
}

#[derive(Debug, PartialEq)]
struct MalformedKey;

impl fmt::Display for MalformedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key is not {PREFIX}TENANT/USER/SESSION")
    }
}

impl Error for MalformedKey {}

#[cfg(test)]
mod tests {
    use inbound_keyvalue::testing::{Ending, Instance, Personality, TestHost};

    use super::{MalformedKey, SessionExpiry, SessionKey};

    fn live(host: &TestHost<SessionExpiry>) -> Vec<String> {
        host.watcher().map_or_else(Vec::new, |watcher| watcher.live.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn replays_the_recorded_events() {
        let mut host = TestHost::<SessionExpiry>::new();
        let outcomes = host.replay("events.jsonl").unwrap();
        let handled: Vec<bool> = outcomes.iter().map(|outcome| outcome.ending == Ending::Handled).collect();
        assert_eq!(handled, [true, true, true, true, false, true, true]);
        assert_eq!(live(&host), ["session 7f3a of ada at acme"]);
    }

    #[test]
    fn tells_its_own_keys_from_malformed_and_foreign_ones() {
        let session = SessionKey { tenant: "acme".into(), user: "ada".into(), session: "7f3a".into() };
        assert_eq!(SessionKey::of("sessions/acme/ada/7f3a"), Ok(Some(session)));
        for malformed in
            ["sessions/", "sessions/acme", "sessions/acme//7f3a", "sessions/acme/ada/7f3a/", "sessions/a/b/c/d"]
        {
            assert_eq!(SessionKey::of(malformed), Err(MalformedKey), "{malformed}");
        }
        for foreign in ["", "sessions", "users/acme/ada/7f3a", "Sessions/acme/ada/7f3a"] {
            assert_eq!(SessionKey::of(foreign), Ok(None), "{foreign}");
        }
    }

    #[test]
    fn goes_on_after_a_malformed_key() {
        let mut host = TestHost::<SessionExpiry>::new();
        host.set("sessions/acme/ada/7f3a", "").expect_handled();
        let failure = host.delete("sessions/acme/ada").expect_failure();
        assert_eq!(failure, r#"on-delete of "sessions/acme/ada" failed: the key is not sessions/TENANT/USER/SESSION"#);
        assert_eq!(live(&host), ["session 7f3a of ada at acme"]);
    }

    #[test]
    fn pairs_sets_with_deletes_on_every_host_that_keeps_the_instance() {
        for (name, personality) in Personality::all() {
            let kept = personality.instance == Instance::Kept;
            let mut host = TestHost::<SessionExpiry>::with(personality);
            host.set("sessions/acme/ada/7f3a", "laptop").expect_handled();
            host.set("sessions/acme/grace/01b2", "phone").expect_handled();
            host.delete("sessions/acme/ada/7f3a").expect_handled();
            let left: &[&str] = if kept { &["session 01b2 of grace at acme"] } else { &[] };
            assert_eq!(live(&host), left, "{name}");
        }
    }
}
