//! The export `handle-watch` of a component, and the watcher of its instance.

#![allow(unsafe_code, reason = "the one watcher of an instance lives in a static")]

use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomData;
use core::mem::MaybeUninit;

use super::Registered;
use crate::bindings::exports::wasi::keyvalue::handle_watch::Guest;
use crate::bucket::Bucket;
use crate::payload::Payload;
use crate::sys::EventKey;
use crate::watch::{Failure, Key, Operation, deliver_delete, deliver_set};

/// The watcher of the instance. Its first event makes it.
pub struct Slot<W> {
    state: Cell<State>,
    watcher: UnsafeCell<MaybeUninit<W>>,
}

#[derive(Clone, Copy)]
enum State {
    Unmade,
    Idle,
    Busy,
}

// SAFETY: these targets have one thread. With threads, `sys` does not compile.
unsafe impl<W> Sync for Slot<W> {}

impl<W: Registered> Slot<W> {
    /// A slot without a watcher.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "for a static")]
    pub const fn new() -> Self {
        Self { state: Cell::new(State::Unmade), watcher: UnsafeCell::new(MaybeUninit::uninit()) }
    }

    #[inline]
    fn with(&self, event: impl FnOnce(&mut W)) {
        let state = self.state.replace(State::Busy);
        // The component model forbids a host to enter an instance that is busy or that has trapped. Not every host obeys. The
        // watcher may be in use then, so the check comes before any reference to it.
        if let State::Busy = state {
            core::arch::wasm32::unreachable();
        }
        if let State::Unmade = state {
            panic_report::install();
            let made = W::init();
            // SAFETY: the slot was not busy, so there is no other reference. `init` cannot come here again: the slot is busy.
            unsafe { (*self.watcher.get()).write(made) };
        }
        // SAFETY: the slot was not busy, so there is no other reference, and no other is made until it is idle again. The watcher
        // was made just now, or by an earlier event.
        event(unsafe { (*self.watcher.get()).assume_init_mut() });
        self.state.set(State::Idle);
    }
}

/// The export `handle-watch` of a component whose watcher is `W`.
pub struct Export<W>(PhantomData<W>);

impl<W: Registered> Guest for Export<W> {
    #[inline]
    fn on_set(bucket: u32, key: String, payload: u32) {
        let key = EventKey::new(key);
        let key = key.as_str();
        let (bucket, payload) = (Bucket::adopt(bucket), Payload::adopt(payload));
        during::<W>(Operation::Set, key, |watcher| deliver_set(watcher, bucket, key, payload));
    }

    #[inline]
    fn on_delete(bucket: u32, key: String) {
        let key = EventKey::new(key);
        let key = key.as_str();
        let bucket = Bucket::adopt(bucket);
        during::<W>(Operation::Delete, key, |watcher| deliver_delete(watcher, bucket, key));
    }
}

/// Delivers an event to the instance's watcher. Passes a failure to `on_error`.
#[inline]
fn during<'a, W: Registered>(
    operation: Operation,
    key: Key<'_>,
    event: impl FnOnce(&mut W) -> Result<(), Failure<'a>>,
) {
    panic_report::during(operation, key, || {
        W::slot().with(|watcher| {
            if let Err(failure) = event(watcher) {
                failed(watcher, failure);
            }
        });
    });
}

#[cold]
fn failed<W: Registered>(watcher: &mut W, failure: Failure<'_>) {
    watcher.on_error(failure);
}

/// Without a standard error, nobody can read this message.
#[cfg(not(target_os = "wasi"))]
mod panic_report {
    use crate::watch::{Key, Operation};

    #[inline]
    pub(super) fn install() {}

    #[inline]
    pub(super) fn during(_: Operation, _: Key<'_>, event: impl FnOnce()) {
        event();
    }
}

/// Names the event of a panic on standard error.
#[cfg(target_os = "wasi")]
mod panic_report {
    use core::cell::Cell;
    use core::mem;
    use std::io::Write as _;
    use std::panic;

    use crate::watch::{Key, Operation};

    std::thread_local! {
        static EVENT: Cell<Option<(Operation, Key<'static>)>> = const { Cell::new(None) };
    }

    pub(super) fn during(operation: Operation, key: Key<'_>, event: impl FnOnce()) {
        // SAFETY: the key lives longer than this call, and `EVENT` is emptied before the call returns. A panic does not unwind out
        // of this function: on these targets a panic traps.
        let key = unsafe { mem::transmute::<Key<'_>, Key<'static>>(key) };
        EVENT.set(Some((operation, key)));
        event();
        EVENT.set(None);
    }

    /// Adds the name of the event to the message of each panic. Must be called once.
    #[cold]
    pub(super) fn install() {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if let Some((operation, key)) = EVENT.get() {
                let _ = writeln!(std::io::stderr(), "{operation} of {key:?} panicked:");
            }
            previous(panic);
        }));
    }
}
