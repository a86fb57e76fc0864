//! The runtime that the generated bindings call. With a libc it is wit-bindgen's, so that the static constructors run once even
//! if the component has other bindings of the same release.
//!
//! `wasm32-unknown-unknown` does not use wit-bindgen. Its `cabi_realloc` would be exported, together with code that grows an
//! allocation in place. That is a tenth of the smallest watcher, and [`memory`](super::memory) does without it.

#[cfg(all(target_os = "wasi", feature = "outbound"))]
pub(crate) use wit_bindgen::rt::Cleanup;
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
    // There is one thread, so load and store need not be one step. A swap would also store at every event.
    if !RUN.load(Relaxed) {
        RUN.store(true, Relaxed);
        // SAFETY: the flag makes this the only call.
        unsafe { __wasm_call_ctors() };
    }
}

/// Memory for the parameters of a call. Only the functions of the bindings that this crate does not call use it.
#[cfg(all(not(target_os = "wasi"), feature = "outbound"))]
pub(crate) struct Cleanup {
    start: *mut u8,
    layout: core::alloc::Layout,
}

#[cfg(all(not(target_os = "wasi"), feature = "outbound"))]
#[allow(unsafe_code, reason = "an allocator's interface is raw")]
impl Cleanup {
    pub(crate) fn new(layout: core::alloc::Layout) -> (*mut u8, Option<Self>) {
        if layout.size() == 0 {
            return (core::ptr::null_mut(), None);
        }
        // SAFETY: the size is not 0.
        let start = unsafe { std::alloc::alloc(layout) };
        if start.is_null() {
            std::alloc::handle_alloc_error(layout);
        }
        (start, Some(Self { start, layout }))
    }
}

#[cfg(all(not(target_os = "wasi"), feature = "outbound"))]
#[allow(unsafe_code, reason = "an allocator's interface is raw")]
impl Drop for Cleanup {
    fn drop(&mut self) {
        // SAFETY: `new` has allocated the memory with this layout, and nothing else releases it.
        unsafe { std::alloc::dealloc(self.start, self.layout) };
    }
}
