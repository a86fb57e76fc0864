use std::error::Error as StdError;
use std::fmt;

use crate::{Bucket, Key, Payload};

/// What a handler returns: nothing, or any error at all, so that `?` works on every one.
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
/// Implement what you need, both methods do nothing by default, and register the type with
/// [`#[handle_watch]`](macro@crate::handle_watch).
///
/// # State
///
/// `self` lives as long as the component's instance. Some hosts keep one instance for all events, some make a fresh one for
/// each: state is a cache, never a record.
///
/// # Errors
///
/// The draft gives a handler no result, so an error has one way to reach the host: a trap, which
/// [`on_error`](Self::on_error) makes unless it is overridden.
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
    /// Whatever the handler finds wrong; it goes to [`on_error`](Self::on_error).
    #[allow(unused_variables, reason = "named for those who implement it")]
    fn on_set(&mut self, bucket: Bucket, key: Key<'_>, payload: Payload) -> HandlerResult {
        Ok(())
    }

    /// A key was deleted: the draft's `on-delete`. The default does nothing.
    ///
    /// # Errors
    ///
    /// Whatever the handler finds wrong; it goes to [`on_error`](Self::on_error).
    #[allow(unused_variables, reason = "named for those who implement it")]
    fn on_delete(&mut self, bucket: Bucket, key: Key<'_>) -> HandlerResult {
        Ok(())
    }

    /// A handler returned an error. The default [traps](Failure::trap), which tells the host that the event was not handled.
    ///
    /// Override it to note the failure and go on: the host then takes the event as handled. Note it somewhere: what is written
    /// to standard error on `wasm32-unknown-unknown` is lost, and so is then the failure.
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

/// Which of the two events an author's code was called for. Its `Display` is the draft's own name.
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

/// An event whose handler returned an error, as [`HandleWatch::on_error`] is given it.
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
///         // A key that cannot be deleted is somebody else's business; the rest is ours.
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
    error: Box<dyn StdError>,
}

impl<'a> Failure<'a> {
    /// Which handler failed.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The key of the event.
    #[must_use]
    pub fn key(&self) -> Key<'a> {
        self.key
    }

    /// What the handler returned.
    #[must_use]
    pub fn error(&self) -> &(dyn StdError + 'static) {
        &*self.error
    }

    /// What the handler returned, owned.
    #[must_use]
    pub fn into_error(self) -> Box<dyn StdError> {
        self.error
    }

    /// Ends the event with a trap, the one way to tell the host that it failed.
    ///
    /// The failure is written to standard error first, where the target has one: `wasm32-wasip1` and `wasm32-wasip2` do,
    /// `wasm32-unknown-unknown` does not. In a native test it ends the event, and nothing else.
    ///
    /// The host drops the instance with its state, and with what handles it holds. The next event goes to a fresh one, if the
    /// host is so minded.
    pub fn trap(self) -> ! {
        trap::trap(&self)
    }
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?} failed: {}", self.operation, self.key, self.error)?;
        let mut source = self.error.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Gives `watcher` a set. Everything that delivers events goes through here: the export on wasm, the test host elsewhere.
///
/// `failed` is told of a failure before `on_error` is, which may not return.
#[cfg(any(target_family = "wasm", feature = "testing"))]
#[inline]
pub(crate) fn deliver_set<W: HandleWatch>(
    watcher: &mut W,
    bucket: Bucket,
    key: Key<'_>,
    payload: Payload,
    failed: impl FnOnce(&Failure<'_>),
) {
    if let Err(error) = watcher.on_set(bucket, key, payload) {
        fail(watcher, Failure { operation: Operation::Set, key, error }, failed);
    }
}

/// Gives `watcher` a delete, as [`deliver_set`] does a set.
#[cfg(any(target_family = "wasm", feature = "testing"))]
#[inline]
pub(crate) fn deliver_delete<W: HandleWatch>(
    watcher: &mut W,
    bucket: Bucket,
    key: Key<'_>,
    failed: impl FnOnce(&Failure<'_>),
) {
    if let Err(error) = watcher.on_delete(bucket, key) {
        fail(watcher, Failure { operation: Operation::Delete, key, error }, failed);
    }
}

#[cfg(any(target_family = "wasm", feature = "testing"))]
#[cold]
fn fail<W: HandleWatch>(watcher: &mut W, failure: Failure<'_>, failed: impl FnOnce(&Failure<'_>)) {
    failed(&failure);
    watcher.on_error(failure);
}

#[cfg(target_family = "wasm")]
mod trap {
    use super::Failure;

    #[cold]
    pub(super) fn trap(failure: &Failure<'_>) -> ! {
        // Where there is no standard error, no formatting machinery is compiled in for it.
        #[cfg(target_os = "wasi")]
        {
            use std::io::Write as _;
            // A standard error that is closed is no reason to say less to the host.
            let _ = writeln!(std::io::stderr(), "{failure}");
        }
        #[cfg(not(target_os = "wasi"))]
        let _ = failure;
        core::arch::wasm32::unreachable()
    }
}

#[cfg(all(not(target_family = "wasm"), feature = "testing"))]
use crate::testing::trap;

#[cfg(not(any(target_family = "wasm", feature = "testing")))]
mod trap {
    use super::Failure;

    #[cold]
    pub(super) fn trap(failure: &Failure<'_>) -> ! {
        panic!("{failure}")
    }
}
