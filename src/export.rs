//! What `#[handle_watch]` expands to calls: registration, and on wasm the export itself.

use crate::HandleWatch;

/// Registers `$watcher`: what `#[handle_watch]` adds to a type. The attribute has the checks, this has the code.
///
/// In the author's scope it defines nothing, and it takes every name from `$crate`, so that no name of theirs is another's.
/// Only here does a crate get the export: one that merely depends on the SDK has none.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($watcher:ty) => {
        $crate::__private::register! { $watcher = <$watcher as $crate::__private::Start>::start() }
    };
    ($watcher:ty => $($maker:tt)*) => {
        impl $crate::__private::Maker<$watcher> for $watcher {
            fn make(self) -> Self {
                self
            }
        }
        $crate::__private::register! { $watcher = $crate::__private::Maker::<$watcher>::make($($maker)*) }
    };
    ($watcher:ty = $($init:tt)*) => {
        impl $crate::__private::Registered for $watcher {
            fn init() -> Self {
                $($init)*
            }

            #[cfg(target_family = "wasm")]
            fn slot() -> &'static $crate::__private::Slot<Self> {
                static SLOT: $crate::__private::Slot<$watcher> = $crate::__private::Slot::new();
                &SLOT
            }
        }

        // Natively nothing else uses the watcher, and the author would be told that it is never constructed. It is not used
        // through `Registered`, which would say of a missing `HandleWatch` twice that it is missing.
        const _: fn($watcher) = |_| ();

        #[cfg(target_family = "wasm")]
        const _: () = {
            // The generator's macro takes a name, no path. Hygiene does not cover names of types: this one nobody has.
            type __InboundKeyvalueExport = $crate::__private::Export<$watcher>;
            $crate::bindings::export!(__InboundKeyvalueExport with_types_in $crate::bindings);
        };
    };
}
pub use __register as register;

/// A watcher that [`#[handle_watch]`](macro@crate::handle_watch) has registered. Only the attribute implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not registered as this component's watcher",
    label = "not registered",
    note = "put `#[handle_watch]` on `{Self}`"
)]
pub trait Registered: HandleWatch + Sized + 'static {
    /// The watcher as a fresh instance has it.
    fn init() -> Self;

    /// Where the instance keeps its watcher.
    #[cfg(target_family = "wasm")]
    fn slot() -> &'static wasm::Slot<Self>;
}

/// `Default`, by a name of our own: what the compiler says of a type that lacks it has to tell of `init` too.
#[diagnostic::on_unimplemented(
    message = "nothing says what `{Self}` is in a fresh instance",
    label = "neither `Default` nor `init`",
    note = "put `#[derive(Default)]` on `{Self}`, or say it in the attribute: `#[handle_watch(init = {Self}::new)]`"
)]
pub trait Start {
    /// The watcher as a fresh instance has it.
    fn start() -> Self;
}

#[diagnostic::do_not_recommend]
impl<W: Default> Start for W {
    fn start() -> Self {
        Self::default()
    }
}

/// What `init = …` may name: a function that makes the watcher, or the watcher itself. The attribute sees a path and cannot
/// tell which it is.
#[diagnostic::on_unimplemented(
    message = "`init` is neither `{W}` nor a function that makes one",
    label = "this is `{Self}`",
    note = "write a path to a `fn() -> {W}`, a closure, or an expression of type `{W}`"
)]
pub trait Maker<W> {
    /// Makes the watcher.
    fn make(self) -> W;
}

#[diagnostic::do_not_recommend]
impl<W, F: FnOnce() -> W> Maker<W> for F {
    fn make(self) -> W {
        self()
    }
}

#[cfg(target_family = "wasm")]
pub use wasm::{Export, Slot};

#[cfg(target_family = "wasm")]
mod wasm {
    #![allow(unsafe_code, reason = "an instance's one watcher lives in a static")]

    use core::cell::{Cell, UnsafeCell};
    use core::marker::PhantomData;
    use core::mem::MaybeUninit;

    use super::Registered;
    use crate::bindings::exports::wasi::keyvalue::handle_watch::Guest;
    use crate::sys::EventKey;
    use crate::watch::{deliver_delete, deliver_set};
    use crate::{Bucket, Key, Operation, Payload};

    /// The instance's watcher, made by its first event.
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

    // SAFETY: these targets have one thread.
    unsafe impl<W> Sync for Slot<W> {}

    impl<W: Registered> Slot<W> {
        /// A slot whose watcher is not made yet.
        #[must_use]
        #[expect(clippy::new_without_default, reason = "for a static")]
        pub const fn new() -> Self {
            Self { state: Cell::new(State::Unmade), watcher: UnsafeCell::new(MaybeUninit::uninit()) }
        }

        #[inline]
        fn with(&self, event: impl FnOnce(&mut W)) {
            let state = self.state.replace(State::Busy);
            // SAFETY: the slot was not busy, or this ends here, so this is the only reference, and no other is made until it is
            // not busy again.
            let watcher = unsafe { &mut *self.watcher.get() };
            match state {
                State::Idle => {}
                State::Unmade => {
                    watcher.write(W::init());
                }
                // The component model forbids a host to enter an instance that is busy, or that has trapped. Not every host
                // keeps to that.
                State::Busy => core::arch::wasm32::unreachable(),
            }
            // SAFETY: it was made just now, or by an earlier event.
            event(unsafe { watcher.assume_init_mut() });
            self.state.set(State::Idle);
        }
    }

    /// The export `handle-watch` of a component whose watcher is `W`.
    pub struct Export<W>(PhantomData<W>);

    impl<W: Registered> Guest for Export<W> {
        #[inline]
        fn on_set(bucket: u32, key: String, payload: u32) {
            let key = EventKey::new(key);
            let key = Key::from(key.as_str());
            let (bucket, payload) = (Bucket::new(bucket), Payload::new(payload));
            during(Operation::Set, key, || {
                W::slot().with(|watcher| deliver_set(watcher, bucket, key, payload, |_| {}));
            });
        }

        #[inline]
        fn on_delete(bucket: u32, key: String) {
            let key = EventKey::new(key);
            let key = Key::from(key.as_str());
            let bucket = Bucket::new(bucket);
            during(Operation::Delete, key, || {
                W::slot().with(|watcher| deliver_delete(watcher, bucket, key, |_| {}));
            });
        }
    }

    /// Without a standard error there is nobody to tell what a panic was about.
    #[cfg(not(target_os = "wasi"))]
    #[inline]
    fn during(_: Operation, _: Key<'_>, event: impl FnOnce()) {
        event();
    }

    #[cfg(target_os = "wasi")]
    use report::during;

    /// Says on standard error which event it was that a handler panicked at.
    #[cfg(target_os = "wasi")]
    mod report {
        use core::cell::Cell;
        use core::mem;
        use std::io::Write as _;
        use std::panic;

        use crate::{Key, Operation};

        std::thread_local! {
            static HOOKED: Cell<bool> = const { Cell::new(false) };
            static EVENT: Cell<Option<(Operation, Key<'static>)>> = const { Cell::new(None) };
        }

        pub(super) fn during(operation: Operation, key: Key<'_>, event: impl FnOnce()) {
            if !HOOKED.replace(true) {
                hook();
            }
            // SAFETY: the key outlives this call, and `EVENT` is emptied before it returns. A panic does not unwind past
            // here: on these targets it traps.
            let key = unsafe { mem::transmute::<Key<'_>, Key<'static>>(key) };
            EVENT.set(Some((operation, key)));
            event();
            EVENT.set(None);
        }

        #[cold]
        fn hook() {
            let previous = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                if let Some((operation, key)) = EVENT.get() {
                    let _ = writeln!(std::io::stderr(), "{operation} of {key:?} panicked:");
                }
                previous(panic);
            }));
        }
    }
}
