//! The runtime that the generated bindings call. With a libc it is wit-bindgen's, so that the static constructors run once even
//! if the component has other bindings of the same release.
//!
//! `wasm32-unknown-unknown` does not use wit-bindgen. Its `cabi_realloc` would be exported, together with code that grows an
//! allocation in place. That is a tenth of the smallest watcher, and [`memory`](super::memory) does without it.

#[cfg(target_os = "wasi")]
pub(crate) use wit_bindgen::rt::{maybe_link_cabi_realloc, run_ctors_once};

#[cfg(not(target_os = "wasi"))]
pub(crate) fn maybe_link_cabi_realloc() {}

/// Runs the static constructors before the first export does anything.
#[cfg(all(target_family = "wasm", not(target_os = "wasi")))]
#[allow(unsafe_code, reason = "the function comes from the linker")]
pub(crate) fn run_ctors_once() {
    use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

    unsafe extern "C" {
        fn __wasm_call_ctors();
    }

    static RUN: AtomicBool = AtomicBool::new(false);
    if !RUN.swap(true, Relaxed) {
        // SAFETY: the flag makes this the only call.
        unsafe { __wasm_call_ctors() };
    }
}
