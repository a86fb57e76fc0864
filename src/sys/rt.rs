//! The runtime of the generated bindings: wit-bindgen's where there is a libc.
//!
//! Without one, [`memory`](super::memory) has the allocator, and wit-bindgen is not linked at all: its own would be exported, and
//! with it the code to grow an allocation in place, a tenth of the least watcher.

#[cfg(target_os = "wasi")]
pub(crate) use wit_bindgen::rt::{maybe_link_cabi_realloc, run_ctors_once};

#[cfg(not(target_os = "wasi"))]
pub(crate) fn maybe_link_cabi_realloc() {}

/// Runs the static constructors before the first export does anything.
#[cfg(all(target_family = "wasm", not(target_os = "wasi")))]
#[allow(unsafe_code, reason = "the linker's function")]
pub(crate) fn run_ctors_once() {
    use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

    unsafe extern "C" {
        fn __wasm_call_ctors();
    }

    static RUN: AtomicBool = AtomicBool::new(false);
    if !RUN.swap(true, Relaxed) {
        // SAFETY: it is called once.
        unsafe { __wasm_call_ctors() };
    }
}
