//! The errors of handlers, kept for the test.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::ops::Deref;

thread_local! {
    /// Whether an event is running, whose error is to be kept.
    static COLLECTING: Cell<bool> = const { Cell::new(false) };
    /// The error of the event that is running.
    static LAST: RefCell<Option<Box<dyn StdError>>> = const { RefCell::new(None) };
}

/// The error of a handler. Its drop keeps it for the test, so it does not matter whether the watcher noted it, trapped or panicked.
#[derive(Debug)]
pub(crate) struct Reported(Option<Box<dyn StdError>>);

/// Stands in for an error that was taken out. Nothing shows it.
static TAKEN: std::fmt::Error = std::fmt::Error;

impl Reported {
    pub(crate) fn new(error: Box<dyn StdError>) -> Self {
        Self(Some(error))
    }

    /// The error, which the test does not get then.
    pub(crate) fn into_inner(mut self) -> Box<dyn StdError> {
        self.0.take().unwrap_or_else(|| Box::new(TAKEN))
    }
}

impl Deref for Reported {
    type Target = dyn StdError;

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().unwrap_or(&TAKEN)
    }
}

impl Drop for Reported {
    fn drop(&mut self) {
        if COLLECTING.get() {
            // The error that was there before is dropped after the borrow: its own drop may run any code.
            let error = self.0.take();
            let _before = LAST.try_with(|last| last.replace(error));
        }
    }
}

/// Runs the code of an event, and returns the error of its handler too.
pub(super) fn collect<T>(event: impl FnOnce() -> T) -> (T, Option<Box<dyn StdError>>) {
    let outer = (COLLECTING.replace(true), LAST.take());
    let result = event();
    COLLECTING.set(outer.0);
    (result, LAST.replace(outer.1))
}
