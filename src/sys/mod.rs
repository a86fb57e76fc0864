//! The seam between the SDK and its host: the draft's functions under the draft's names, a trap, and no policy.
//!
//! On wasm the functions are the generated bindings. On every other target they call the test hosts of the thread. Without the
//! feature `testing` they are functions that say how to get a test host.

#[cfg(all(target_family = "wasm", target_feature = "atomics"))]
compile_error!(
    "inbound-keyvalue does not support wasm with threads: the draft's handles belong to one thread. Build without the target \
     feature `atomics`"
);

#[cfg(not(target_family = "wasm"))]
pub(crate) mod draft;

#[cfg(target_family = "wasm")]
mod memory;
#[cfg(any(target_family = "wasm", doc))]
pub(crate) mod rt;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(all(target_family = "wasm", feature = "outbound"))]
pub(crate) use wasm::outbound::{atomic, batch, readwrite};
#[cfg(target_family = "wasm")]
pub(crate) use {
    memory::allocator::copy,
    memory::event_key::EventKey,
    wasm::{trap, types, wasi_io},
};

#[cfg(all(not(target_family = "wasm"), feature = "testing"))]
pub(crate) mod native;
#[cfg(all(not(target_family = "wasm"), feature = "testing"))]
pub(crate) use native::{Raw, Reported, number_of, raw_of, trap, types, wasi_io};

/// A copy of `text`.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn copy(text: &str) -> String {
    text.to_owned()
}

#[cfg(all(not(target_family = "wasm"), feature = "testing", feature = "outbound"))]
pub(crate) use native::outbound::{atomic, batch, readwrite};

#[cfg(any(target_family = "wasm", not(feature = "testing")))]
mod bare;
#[cfg(any(target_family = "wasm", not(feature = "testing")))]
pub(crate) use bare::{Raw, Reported, number_of, raw_of};

#[cfg(not(any(target_family = "wasm", feature = "testing")))]
mod absent;
#[cfg(all(not(any(target_family = "wasm", feature = "testing")), feature = "outbound"))]
pub(crate) use absent::{atomic, batch, readwrite};
#[cfg(not(any(target_family = "wasm", feature = "testing")))]
pub(crate) use absent::{trap, types, wasi_io};
