//! Events from a NATS `JetStream` key-value bucket, at least once.
//!
//! A bucket is a stream. A durable pull consumer with explicit acks on it remembers what was handled. The parts:
//!
//! | part | what it does |
//! |---|---|
//! | [`Address`], [`Auth`], [`Tls`] | the place of the bucket and the credentials of kvwatch; no secret is ever printed |
//! | `connection` | connects, and connects again for ever |
//! | `tls` | checks the files of certificates, and says why a connection cannot be encrypted |
//! | `consumer` | finds or makes the consumer, and compares its settings |
//! | [`Gate`] | decides when events may start (rule D5) |
//! | `message` | reads the change of a key from a message (rule D8) |
//! | `unreachable_keys` | ends events whose key is not UTF-8 (rule D8) |
//! | [`NatsSource`] | combines them into a [`Source`](crate::serve::Source) |
//! | [`SubjectLetters`] | dead letters to a subject |
//!
//! The server pins one of all processes with one name. It receives all events, and the others stand by (priority group with the
//! policy `pinned_client`, from server 2.11 on). With [`Settings::shared`] all processes receive events.

mod address;
mod auth;
mod connection;
mod consumer;
mod error;
mod gate;
mod journal;
mod letters;
mod message;
mod source;
mod tls;
mod unreachable_keys;

use std::time::Duration;

pub use address::Address;
pub(super) use address::printable as printable_address;
pub use auth::{Auth, Tls};
pub use consumer::{Difference, Since};
pub use error::Error;
pub use gate::{Answer, Decision, Delivered, Gate, Question, Verdict};
pub use letters::SubjectLetters;
pub(crate) use message::change;
pub use source::NatsSource;

use crate::serve::Escaped;
use crate::sources::{NAME, is_name};

/// The settings of a source: which events come, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The servers and the bucket.
    pub address: Address,
    /// The credentials of kvwatch.
    pub auth: Auth,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// The name of the consumer (`--name`). Processes with one name share one consumer.
    pub name: String,
    /// The start of a new consumer (`--since`).
    pub since: Since,
    /// The keys to watch (`--keys`), as a subject filter without the bucket, like `users.>`. `None`: all.
    pub keys: Option<String>,
    /// Whether all processes work at the same time (`--shared`). The order of a key then holds within a process only, and an
    /// event that kills the process is not found.
    pub shared: bool,
    /// After this time without a sign of life, the server delivers an event to another process. It should be 2 s or more.
    pub ack_wait: Duration,
    /// The most events that may be delivered and unacknowledged. Together with the largest value, this bounds the memory. One
    /// failing key can hold this many events back.
    pub max_ack_pending: u32,
    /// Whether to wait for a server or a bucket that is missing at the start (`--wait`).
    pub wait: bool,
    /// Whether the watcher's own writes come as events (`--feed`). Otherwise they are acknowledged and skipped.
    pub feed: bool,
}

impl Settings {
    /// The settings that worked in tests: ack wait 5 s, 500 unacknowledged events, the last value of each key.
    #[must_use]
    pub fn new(address: Address, name: impl Into<String>) -> Self {
        Self {
            address,
            auth: Auth::default(),
            tls: Tls::default(),
            name: name.into(),
            since: Since::default(),
            keys: None,
            shared: false,
            ack_wait: Duration::from_secs(5),
            max_ack_pending: 500,
            wait: false,
            feed: false,
        }
    }

    /// Checks the settings that the server would refuse with a worse message.
    ///
    /// # Errors
    ///
    /// If a setting has a value that cannot work.
    pub fn check(&self) -> Result<(), Error> {
        let bad = |setting, value: &str, problem: &str| {
            Err(Error::Setting { setting, value: Escaped(value).to_string(), problem: problem.to_owned() })
        };
        if !is_name(&self.name) {
            return bad("--name", &self.name, NAME);
        }
        if let Some(keys) = &self.keys
            && !is_filter(keys)
        {
            return bad(
                "--keys",
                keys,
                "a filter has parts with a `.` between them; a part is text without white space, or `*` for any part, and \
                 the last one may be `>` for any number of parts, like `users.>`",
            );
        }
        if self.ack_wait < Duration::from_secs(1) {
            return bad("--ack-wait", &format!("{:?}", self.ack_wait), "it must be 1 s or more");
        }
        if self.max_ack_pending == 0 {
            return bad("--max-ack-pending", "0", "it must be 1 or more");
        }
        Ok(())
    }

    /// The subjects to watch.
    fn filter(&self) -> String {
        format!("{}{}", self.prefix(), self.keys.as_deref().unwrap_or(">"))
    }

    /// The name of this watcher in its writes.
    fn writer(&self) -> String {
        format!("{}/{}", self.address.bucket(), self.name)
    }

    /// The part of a subject before the key.
    fn prefix(&self) -> String {
        format!("$KV.{}.", self.address.bucket())
    }
}

fn is_filter(keys: &str) -> bool {
    let last = keys.split('.').count() - 1;
    keys.split('.').enumerate().all(|(index, part)| match part {
        "*" => true,
        ">" => index == last,
        _ => !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_with_the_flag() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::new("nats://localhost/b".parse().unwrap(), "w");
            change(&mut settings);
            settings.check().map_err(|error| error.to_string())
        };
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|s| s.keys = Some("users.*.name".into())), Ok(()));
        for (flag, refused) in [
            ("--name", with(|s| s.name = "a.b".into())),
            ("--name", with(|s| s.name = String::new())),
            ("--name", with(|s| s.name = "a\u{1b}[31m".into())),
            ("--keys", with(|s| s.keys = Some("a..b".into()))),
            ("--keys", with(|s| s.keys = Some(">.a".into()))),
            ("--keys", with(|s| s.keys = Some("a b".into()))),
            ("--keys", with(|s| s.keys = Some("a*".into()))),
            ("--keys", with(|s| s.keys = Some(String::new()))),
            ("--ack-wait", with(|s| s.ack_wait = Duration::ZERO)),
            ("--max-ack-pending", with(|s| s.max_ack_pending = 0)),
        ] {
            let message = refused.unwrap_err();
            assert!(message.starts_with(flag), "{message}");
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
}
