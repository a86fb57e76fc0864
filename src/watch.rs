use std::error::Error as StdError;
use std::fmt;

use crate::bucket::Bucket;
use crate::payload::Payload;
use crate::sys::{self, Reported};

/// The key that was set or deleted: the draft's `key`, a string.
///
/// It borrows from the event, so an event costs no copy of its key. To keep a key, copy it: `key.to_owned()`.
///
/// ```
/// use inbound_keyvalue::Key;
///
/// fn user(key: Key<'_>) -> Option<&str> {
///     key.strip_prefix("users/")
/// }
///
/// assert_eq!(user("users/ada"), Some("ada"));
/// assert_eq!(user("orders/7"), None);
/// ```
pub type Key<'a> = &'a str;

/// The result of a handler: nothing, or an error.
///
/// `?` works on every type that implements [`std::error::Error`], on `Box<dyn Error>`, `&str`, `String`, `anyhow::Error` and
/// `eyre::Report`. The error keeps its type and its chain of sources.
///
/// `?` does not work on `Box<dyn Error + Send + Sync>`: Rust's coherence rules allow no conversion that accepts it and every error
/// type. Drop the two bounds first:
///
/// ```
/// use std::error::Error;
/// use inbound_keyvalue::HandlerResult;
///
/// fn store() -> Result<(), Box<dyn Error + Send + Sync>> {
///     Ok(())
/// }
///
/// fn handle() -> HandlerResult {
///     store().map_err(|error| error as Box<dyn Error>)?;
///     Ok(())
/// }
/// ```
///
/// Any other error needs no conversion:
///
/// ```
/// use inbound_keyvalue::{HandlerResult, Payload};
///
/// fn total(payload: Payload) -> HandlerResult {
///     let text = payload.into_string()?;
///     let number: i64 = text.trim().parse()?;
///     if number < 0 {
///         return Err("a total is never negative".into());
///     }
///     Ok(())
/// }
/// ```
pub type HandlerResult = Result<(), Box<dyn StdError>>;

/// A watcher: what happens when a key is set or deleted. The draft's interface `handle-watch`.
///
/// Implement the methods that you need: both do nothing by default. Register the type with
/// [`#[handle_watch]`](macro@crate::handle_watch).
///
/// # State
///
/// `self` lives as long as the component's instance. Some hosts keep one instance for all events, and some make a new one for each
/// event. Use state as a cache, never as a record.
///
/// # Errors
///
/// In the draft a handler has no result. So an error can reach the host only as a trap. [`on_error`](Self::on_error) traps unless
/// you override it.
///
/// ```
/// use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
///
/// #[handle_watch]
/// #[derive(Default)]
/// struct Counter {
///     sets: u64,
/// }
///
/// impl HandleWatch for Counter {
///     fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
///         self.sets += 1;
///         println!("{} set {key} to {} bytes", self.sets, payload.into_bytes()?.len());
///         Ok(())
///     }
///
///     fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
///         println!("{key} is gone");
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `HandleWatch`",
    label = "has no handlers",
    note = "write `impl HandleWatch for {Self} {{ … }}`: both of its handlers can be left out"
)]
pub trait HandleWatch {
    /// A key was set: the draft's `on-set`. The default does nothing.
    ///
    /// # Errors
    ///
    /// The handler's own errors. They go to [`on_error`](Self::on_error).
    #[allow(unused_variables, reason = "implementors see the names")]
    fn on_set(&mut self, bucket: Bucket, key: Key<'_>, payload: Payload) -> HandlerResult {
        Ok(())
    }

    /// A key was deleted: the draft's `on-delete`. The default does nothing.
    ///
    /// # Errors
    ///
    /// The handler's own errors. They go to [`on_error`](Self::on_error).
    #[allow(unused_variables, reason = "implementors see the names")]
    fn on_delete(&mut self, bucket: Bucket, key: Key<'_>) -> HandlerResult {
        Ok(())
    }

    /// A handler returned an error. The default [traps](Failure::trap), which tells the host that the event was not handled.
    ///
    /// Override it to report the failure and continue: the host then counts the event as handled. Report it where you can find it.
    /// On `wasm32-unknown-unknown` there is no standard error, and what you write to it is lost.
    ///
    /// ```
    /// use inbound_keyvalue::{Failure, HandleWatch};
    ///
    /// #[derive(Default)]
    /// struct Lenient {
    ///     failures: u64,
    /// }
    ///
    /// impl HandleWatch for Lenient {
    ///     fn on_error(&mut self, failure: Failure) {
    ///         self.failures += 1;
    ///         eprintln!("{failure}");
    ///     }
    /// }
    /// ```
    fn on_error(&mut self, failure: Failure<'_>) {
        failure.trap();
    }
}

/// The event that a handler was called for. Its `Display` is the draft's name.
///
/// ```
/// use inbound_keyvalue::Operation;
///
/// assert_eq!(Operation::Set.to_string(), "on-set");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `on-set`
    Set,
    /// `on-delete`
    Delete,
}

impl Operation {
    /// The draft's name of the handler.
    ///
    /// ```
    /// assert_eq!(inbound_keyvalue::Operation::Delete.as_str(), "on-delete");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "on-set",
            Self::Delete => "on-delete",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event whose handler returned an error. [`HandleWatch::on_error`] receives it.
///
/// Its `Display` is one line: the operation, the key, and the error with all its [sources](StdError::source).
///
/// ```
/// use inbound_keyvalue::{Failure, HandleWatch, Operation};
///
/// struct Patient;
///
/// impl HandleWatch for Patient {
///     fn on_error(&mut self, failure: Failure) {
///         // Only a failed set is worth a trap.
///         if failure.operation() == Operation::Set {
///             failure.trap();
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Failure<'a> {
    operation: Operation,
    key: Key<'a>,
    error: Reported,
}

impl<'a> Failure<'a> {
    /// The handler that failed.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The key of the event.
    #[must_use]
    pub fn key(&self) -> Key<'a> {
        self.key
    }

    /// The error that the handler returned.
    #[must_use]
    pub fn error(&self) -> &(dyn StdError + 'static) {
        &*self.error
    }

    /// The error that the handler returned, owned.
    #[must_use]
    pub fn into_error(self) -> Box<dyn StdError> {
        self.error.into_inner()
    }

    /// Ends the event with a trap, which tells the host that the event failed.
    ///
    /// The failure is written to standard error first, if the target has one: `wasm32-wasip1` and `wasm32-wasip2` do,
    /// `wasm32-unknown-unknown` does not. In a native test the trap ends the event and nothing else.
    ///
    /// The host drops the instance, with its state and its handles. Whether the next event gets a new instance is the host's
    /// decision.
    pub fn trap(self) -> ! {
        sys::trap(&self)
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?} failed: {}", self.operation, self.key, &*self.error)?;
        let mut source = self.error.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Delivers a set to `watcher`. The export on wasm and the native test host both deliver events with this function.
#[cfg(any(target_family = "wasm", feature = "testing"))]
#[inline]
pub(crate) fn deliver_set<'a, W: HandleWatch>(
    watcher: &mut W,
    bucket: Bucket,
    key: Key<'a>,
    payload: Payload,
) -> Result<(), Failure<'a>> {
    watcher.on_set(bucket, key, payload).map_err(|error| Failure {
        operation: Operation::Set,
        key,
        error: Reported::new(error),
    })
}

/// Delivers a delete to `watcher`, as [`deliver_set`] delivers a set.
#[cfg(any(target_family = "wasm", feature = "testing"))]
#[inline]
pub(crate) fn deliver_delete<'a, W: HandleWatch>(
    watcher: &mut W,
    bucket: Bucket,
    key: Key<'a>,
) -> Result<(), Failure<'a>> {
    watcher.on_delete(bucket, key).map_err(|error| Failure {
        operation: Operation::Delete,
        key,
        error: Reported::new(error),
    })
}
