//! The seam between the SDK and its host: the draft's functions under the draft's names, and no policy.
//!
//! On wasm they are the generated bindings. On every other target they are the test host of [`crate::testing`]. Without the
//! feature `testing` they are functions that say which feature to turn on.

#[cfg(target_family = "wasm")]
mod memory;
#[cfg(any(target_family = "wasm", doc))]
pub(crate) mod rt;
#[cfg(target_family = "wasm")]
mod wasm;
#[cfg(target_family = "wasm")]
pub(crate) use {
    memory::event_key::EventKey,
    wasm::{types, wasi_io},
};

#[cfg(all(not(target_family = "wasm"), feature = "testing"))]
pub(crate) use crate::testing::seam::{types, wasi_io};

#[cfg(not(any(target_family = "wasm", feature = "testing")))]
mod absent;
#[cfg(not(any(target_family = "wasm", feature = "testing")))]
pub(crate) use absent::{types, wasi_io};
