use std::error::Error as StdError;
use std::fmt;
use std::rc::Rc;

use inbound_keyvalue_host::{Violation, Written};

use super::stored::StoreChange;

/// The result of an event: how it ended, the values that the watcher wrote, and its violations.
///
/// Two outcomes are equal if all their parts are. Errors are compared by their text.
///
/// ```
/// # use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
/// # #[handle_watch]
/// # #[derive(Default)]
/// # struct Reader;
/// # impl HandleWatch for Reader {
/// #     fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
/// #         payload.into_bytes()?;
/// #         Ok(())
/// #     }
/// # }
/// use inbound_keyvalue::testing::TestHost;
///
/// let outcome = TestHost::<Reader>::new().set("key", "value");
/// outcome.expect_handled();
/// assert_eq!(outcome.calls, 2); // `payload-consume-sync` and `drop-bucket`
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "only the outcome tells whether the watcher failed: call `expect_handled`"]
#[non_exhaustive]
pub struct Outcome {
    /// How the event ended.
    pub ending: Ending,
    /// The rules for handles that the watcher broke.
    pub violations: Vec<Violation>,
    /// The content of each `Value` of the watcher, in the order in which it made them.
    pub values: Vec<Written>,
    /// The watcher's changes of the store, in their order: the first 4096 changes, and 64 MiB of their contents. A call that
    /// failed is not among them, even if the store did a part of it.
    pub changes: Vec<StoreChange>,
    /// The outcomes of the watcher's own changes, if the test [feeds](super::TestHost::feed) them to it.
    pub fed: Vec<Outcome>,
    /// The number of calls that the watcher made to the host.
    pub calls: u64,
    pub(super) error: Option<HandlerError>,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The handler returned `Ok`.
    Handled,
    /// The handler returned an error, and the watcher's own `on_error` continued. This is the text of the failure.
    Noted(String),
    /// The event trapped: by [`Failure::trap`](crate::Failure::trap), or in a call to the host.
    Trapped(String),
    /// The handler panicked. In a component this is a trap.
    Panicked(String),
}

/// The error that a handler returned. It is shared, so that an outcome can be cloned.
#[derive(Clone, Debug)]
pub(super) struct HandlerError(Rc<dyn StdError>);

impl HandlerError {
    pub(super) fn new(error: Box<dyn StdError>) -> Self {
        Self(error.into())
    }
}

impl PartialEq for HandlerError {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_string() == other.0.to_string()
    }
}

impl Eq for HandlerError {}

impl Outcome {
    /// Whether the handler returned `Ok`.
    #[must_use]
    pub fn is_handled(&self) -> bool {
        self.ending == Ending::Handled
    }

    /// Fails the test if the handler did not return `Ok`.
    ///
    /// # Panics
    ///
    /// With the text of the failure, if the event was not handled.
    #[track_caller]
    pub fn expect_handled(&self) {
        assert!(self.is_handled(), "the event was not handled: {}", self.ending);
    }

    /// Returns the text of the failure: of the trap, of the panic, or of what `on_error` received. Fails the test if there was no
    /// failure.
    ///
    /// # Panics
    ///
    /// If the event was handled.
    #[track_caller]
    #[must_use]
    pub fn expect_failure(self) -> String {
        match self.ending {
            Ending::Handled => panic!("the event was handled, and should have failed"),
            Ending::Noted(failure) | Ending::Trapped(failure) | Ending::Panicked(failure) => failure,
        }
    }

    /// The error that the handler returned, unchanged. `None` if the handler returned no error, or if the watcher's own
    /// `on_error` took it with [`Failure::into_error`](crate::Failure::into_error).
    ///
    /// Use it to test for a type and not for a text.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use inbound_keyvalue::testing::TestHost;
    /// use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
    ///
    /// #[handle_watch]
    /// #[derive(Default)]
    /// struct Total(i64);
    ///
    /// impl HandleWatch for Total {
    ///     fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
    ///         self.0 += payload.into_string()?.parse::<i64>()?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let outcome = TestHost::<Total>::new().set("total", "many");
    /// assert!(outcome.error().unwrap().is::<ParseIntError>());
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.as_ref().map(|error| &*error.0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handled => f.write_str("handled"),
            Self::Noted(failure) => write!(f, "noted by on_error: {failure}"),
            Self::Trapped(failure) => write!(f, "trapped: {failure}"),
            Self::Panicked(failure) => write!(f, "panicked: {failure}"),
        }
    }
}
