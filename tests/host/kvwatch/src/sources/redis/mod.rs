//! Events from a Redis database, at most once.
//!
//! Redis announces a changed key to the clients that are subscribed at that moment (keyspace notifications). It does not keep the
//! announcement, and the announcement does not contain the value. So kvwatch subscribes, and reads the value after each
//! announcement. The parts:
//!
//! | part | what it does |
//! |---|---|
//! | [`Address`], [`Auth`] | the address of the database and the credentials of kvwatch; no secret is ever printed |
//! | `connect` | connects, and checks that the server announces changes |
//! | `window` | stops reading when the watcher is slower than the server |
//! | `notice` | reads the change of a key from an announcement (rule D8) |
//! | `reading` | reads the values of keys |
//! | `pulse` | notices a server that is silent |
//! | `known` | finds the deleted keys that Redis did not announce |
//! | `follow` | follows one connection after the other, for ever |
//! | [`RedisSource`] | the [`Source`](crate::serve::Source) |

mod address;
mod connect;
mod error;
mod follow;
mod known;
mod notice;
mod pulse;
mod reading;
mod source;
mod window;

use std::fmt;
use std::sync::Arc;

pub use address::Address;
pub(crate) use connect::tracked_connection;
pub use error::Error;
pub(crate) use error::printable;
pub use source::RedisSource;

use crate::serve::Escaped;
use crate::sources::secret::Secret;
use crate::sources::{NAME, is_name};

/// The credentials of kvwatch for the server. Secrets come from a file or the environment, never from a command line.
#[derive(Clone, Default)]
pub enum Auth {
    /// No credentials.
    #[default]
    Nobody,
    /// The password of the user `default`, as `requirepass` sets it.
    Password(Secret),
    /// A user with a password.
    User {
        /// The name of the user.
        user: String,
        /// The password.
        password: Secret,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Password(_) => f.write_str("Password(***)"),
            Self::User { user, .. } => write!(f, "User({user:?}, ***)"),
        }
    }
}

/// The settings of a source: which events come, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The server and the database.
    pub address: Address,
    /// The credentials of kvwatch.
    pub auth: Auth,
    /// The name of the watcher (`--name`), which the server shows in `CLIENT LIST`. Each process gets all events, even under the
    /// same name.
    pub name: String,
    /// Whether all keys are delivered at every connection, the first one included (`--replay`).
    pub replay: bool,
    /// Whether kvwatch may set `notify-keyspace-events` (`--configure`).
    pub configure: bool,
    /// The most events in hand (`--max-ack-pending`). Together with the largest value, this bounds the memory.
    pub max_in_hand: u32,
    /// Whether to wait for a server that is missing at the start (`--wait`).
    pub wait: bool,
    /// Returns the depth of each event.
    pub depth_of: DepthOf,
}

/// Returns the depth of an event of a key that has just arrived: how many writes of the watcher led to it. It is 0 by default,
/// because Redis does not report who has written a key. See [`Feedback`](crate::stores::Feedback).
#[derive(Clone)]
pub struct DepthOf(Arc<dyn Fn(&str) -> u32 + Send + Sync>);

impl DepthOf {
    /// Calls this function once for each event, in their order.
    pub fn new(depth: impl Fn(&str) -> u32 + Send + Sync + 'static) -> Self {
        Self(Arc::new(depth))
    }

    fn depth(&self, key: &str) -> u32 {
        (self.0)(key)
    }
}

impl Default for DepthOf {
    fn default() -> Self {
        Self::new(|_| 0)
    }
}

impl fmt::Debug for DepthOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DepthOf")
    }
}

impl Settings {
    /// The settings for an address: no replay, no configuration, 500 events in hand.
    #[must_use]
    pub fn new(address: Address, name: impl Into<String>) -> Self {
        Self {
            address,
            auth: Auth::default(),
            name: name.into(),
            replay: false,
            configure: false,
            max_in_hand: 500,
            wait: false,
            depth_of: DepthOf::default(),
        }
    }

    /// Checks the settings, without a connection.
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
        if self.max_in_hand == 0 {
            return bad("--max-ack-pending", "0", "it must be 1 or more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused_with_the_flag() {
        let settings = Settings::new("redis://localhost".parse().unwrap(), "w");
        assert!(settings.check().is_ok());
        for name in ["", "a b", "a\u{1b}[31m"] {
            let error = Settings { name: name.into(), ..settings.clone() }.check().unwrap_err().to_string();
            assert!(error.starts_with("--name") && !error.chars().any(char::is_control), "{error}");
        }
        let error = Settings { max_in_hand: 0, ..settings }.check().unwrap_err().to_string();
        assert!(error.starts_with("--max-ack-pending"), "{error}");
    }
}
