//! The sources of events.
//!
//! A [`Source`] returns the next event. Each event has a way to report its result: [`Delivery::end`]. A source that acknowledges
//! events, such as a queue, passes a function to [`Delivery::with_end`]. A source that cannot acknowledge, such as a file, passes
//! none.
//!
//! The prompt of `kvwatch run` is a source too, and is part of the program, because it needs a terminal. A user types events, and
//! also asks for other things: the values and keys of the store, a new instance, the figures. These are a source's
//! [`Request`](Source::Request)s. The program that runs the source answers them, so a source knows neither the store nor the session.
//!
//! `kvwatch serve` uses another trait, `serve::Source`, because a store that delivers events again has acks, gates and leases. A
//! test suite, `serve::conforms`, tests its implementations for NATS and Redis.

mod file;
#[cfg(feature = "serve")]
pub mod nats;
#[cfg(feature = "serve")]
pub mod redis;
#[cfg(feature = "serve")]
mod secret;

pub use file::Lines;
#[cfg(feature = "serve")]
pub use secret::{BadSecret, Secret};

use std::convert::Infallible;
#[cfg(feature = "serve")]
use std::time::Duration;

use inbound_keyvalue_host::{BadLine, Event};

#[cfg(feature = "serve")]
use crate::serve::Retry;

/// The waits before kvwatch connects to a store again, and before it repeats a call that the server did not carry out.
#[cfg(feature = "serve")]
pub(crate) const AGAIN: Retry =
    Retry { attempts: 1, first: Duration::from_millis(100), longest: Duration::from_secs(4) };

/// The message of an error without its advice to use `--wait`: while kvwatch waits or connects again, that does not apply.
#[cfg(feature = "serve")]
pub(crate) fn without_wait(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    text.strip_suffix(", or wait for it with --wait").unwrap_or(&text).to_owned()
}

/// The rule for the name of a watcher (`--name`).
#[cfg(feature = "serve")]
pub(crate) const NAME: &str = "a name has up to 200 letters, digits, `-` and `_`";

/// Whether a name follows the rule of [`NAME`].
#[cfg(feature = "serve")]
pub(crate) fn is_name(name: &str) -> bool {
    let may_have = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=200).contains(&name.len()) && name.bytes().all(may_have)
}

/// A source of events, which come one after the other.
///
/// ```
/// use std::convert::Infallible;
///
/// use kvwatch::sources::{Delivery, Item, Source};
/// use kvwatch::world::Event;
///
/// /// Deletes each of these keys.
/// struct Deletes(Vec<String>);
///
/// impl Source for Deletes {
///     type Request = Infallible;
///
///     fn name(&self) -> &str {
///         "a list of keys"
///     }
///
///     fn next(&mut self) -> Item {
///         self.0.pop().map_or(Item::End, |key| Item::Event(Delivery::new(Event::delete(key))))
///     }
/// }
/// ```
pub trait Source {
    /// A request of the source to the program that runs it. [`Infallible`] if it has no requests.
    type Request;

    /// The name of the source in messages: the path of a file, for example.
    fn name(&self) -> &str;

    /// Waits for the next item.
    fn next(&mut self) -> Item<Self::Request>;
}

/// The next item of a source.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item<R = Infallible> {
    /// An event. Report its end.
    Event(Delivery),
    /// The source asks the program for something. The source continues.
    Request(R),
    /// A line that is not an event. The source continues after it, unless it cannot be read any further.
    Bad(BadLine),
    /// A remark for the user. The source continues.
    Warning(String),
    /// There are no more events.
    End,
}

/// The result of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The handler returned.
    Handled,
    /// The event trapped.
    Failed,
}

type End = Box<dyn FnOnce(Fate) + Send>;

/// An event, and the way to report its result.
///
/// ```
/// use std::sync::mpsc;
///
/// use kvwatch::sources::{Delivery, Fate};
/// use kvwatch::world::Event;
///
/// let (send, ended) = mpsc::channel();
/// let delivery = Delivery::with_end(Event::delete("k"), move |fate| send.send(fate).unwrap_or_default());
/// assert_eq!(delivery.event.key, "k");
/// delivery.end(Fate::Handled);
/// assert_eq!(ended.recv(), Ok(Fate::Handled));
/// ```
#[must_use = "report the end of the event"]
pub struct Delivery {
    /// The event.
    pub event: Event,
    end: Option<End>,
}

impl Delivery {
    /// An event of a source that does not need to know its end.
    pub fn new(event: Event) -> Self {
        Self { event, end: None }
    }

    /// An event whose result goes to `end`. The result of an event that is dropped is not reported.
    pub fn with_end(event: Event, end: impl FnOnce(Fate) + Send + 'static) -> Self {
        Self { event, end: Some(Box::new(end)) }
    }

    /// Reports the result of the event.
    pub fn end(self, fate: Fate) {
        if let Some(end) = self.end {
            end(fate);
        }
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("event", &self.event).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;

    #[test]
    fn the_advice_to_wait_is_only_for_a_program_that_does_not_wait() {
        let (server, cause) = (String::from("s"), String::from("c"));
        let errors: [Box<dyn std::error::Error>; 4] = [
            Box::new(redis::Error::Unreachable { server: server.clone(), cause: cause.clone() }),
            Box::new(nats::Error::Unreachable { servers: server.clone(), cause }),
            Box::new(nats::Error::NoJetStream { servers: server.clone() }),
            Box::new(nats::Error::NoBucket { servers: server, bucket: "b".into() }),
        ];
        for error in errors {
            assert!(error.to_string().contains("--wait"), "{error}");
            assert!(!without_wait(&*error).contains("wait"), "{error}");
        }
    }
}
