//! Tests of a watcher run on your own machine and not on wasm. This module only says so.
//!
//! You are here because the build's target is wasm, for example through `build.target` in `.cargo/config.toml`. Run the tests
//! for your own machine: `cargo test --target x86_64-unknown-linux-gnu`. `rustc -vV` names your machine's target after `host:`.

use std::marker::PhantomData;

/// No type implements it.
#[diagnostic::on_unimplemented(
    message = "`inbound_keyvalue::testing` is for native targets, and this build's target is wasm",
    label = "a native test",
    note = "run the tests for your own machine: `cargo test --target x86_64-unknown-linux-gnu`; `rustc -vV` names your machine's target after `host:`",
    note = "if `.cargo/config.toml` sets `build.target` to wasm, remove it there and give `--target` to `cargo build` instead"
)]
pub trait OnNativeTarget {}

/// On native targets a host for one watcher. On wasm its functions do not compile, and the message says what to do.
#[derive(Debug)]
pub struct TestHost<W>(PhantomData<W>);

// The bound is on each function: on the `impl`, the compiler would not show the message of `OnNativeTarget`.
impl<W> TestHost<W> {
    /// Does not compile on wasm.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "nothing can make one")]
    pub fn new() -> Self
    where
        W: OnNativeTarget,
    {
        unreachable!()
    }

    /// Does not compile on wasm.
    #[must_use]
    pub fn with<P>(_personality: P) -> Self
    where
        W: OnNativeTarget,
    {
        unreachable!()
    }

    /// Does not compile on wasm.
    #[must_use]
    pub fn with_watcher<P, F>(_personality: P, _init: F) -> Self
    where
        W: OnNativeTarget,
    {
        unreachable!()
    }
}

macro_rules! only_native {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("On native targets `testing::", stringify!($name), "`. On wasm it only lets an import compile.")]
            #[derive(Debug)]
            pub enum $name {}
        )*
    };
}

only_native! {
    AfterEnd BadHandle BadLine CallResult Change ConsumedPayload Content Details End Ending Event EventError
    EventProblem Events Fault HandleKind Host HostLimits Instance IntoContent Numbering Origin Outcome
    Personality Problem Reading Repeat ReplayCause ReplayError SetHandles Size SizeHint StoreChange
    StoredBucket StreamError StreamResult Transfer Trap Violation Writing Written
}
