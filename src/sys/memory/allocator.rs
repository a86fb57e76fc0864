//! Allocations for the host, and for the copy of a text.

use core::ptr;
use std::alloc::{Layout, alloc, dealloc};

/// Allocates memory that Rust code will own. Its owner releases it to Rust's global allocator, which can be the author's own.
///
/// # Safety
///
/// The arguments must be as fact A says of the host's.
pub(super) unsafe fn allocate(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    let mut new = ptr::without_provenance_mut(align);
    // SAFETY: fact A makes both layouts valid. It also makes `old` an allocation of this function with that layout, or a key's
    // memory, which was one (fact O). A new allocation does not overlap with an old one.
    unsafe {
        if new_len > 0 {
            new = alloc(Layout::from_size_align_unchecked(new_len, align));
            if new.is_null() {
                core::arch::wasm32::unreachable();
            }
        }
        if old_len > 0 {
            ptr::copy_nonoverlapping(old, new, old_len.min(new_len));
            dealloc(old, Layout::from_size_align_unchecked(old_len, align));
        }
    }
    new
}

/// A copy of `text`. It traps if there is no memory.
///
/// `str::to_owned` would link the standard library's messages for a copy that is too large, 330 bytes.
#[cold]
#[inline(never)]
#[expect(clippy::same_length_and_capacity, reason = "an allocation of this function has the length of its text")]
pub(crate) fn copy(text: &str) -> String {
    let len = text.len();
    // SAFETY: a text is never longer than an allocation may be, and there is no old allocation, so the arguments are as fact A says.
    // `allocate` returns memory of Rust's allocator for `len` bytes, which nothing else uses. They become a copy of a text.
    unsafe {
        let start = allocate(ptr::null_mut(), 0, 1, len);
        ptr::copy_nonoverlapping(text.as_ptr(), start, len);
        String::from_raw_parts(start, len, len)
    }
}

/// Allocates memory that C code may own: on wasip2 the libc calls the host too, and releases what it gets with `free`.
///
/// # Safety
///
/// The arguments must be those of the host (fact A).
#[cfg(target_env = "p2")]
pub(super) unsafe fn allocate_for_libc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    unsafe extern "C" {
        fn realloc(old: *mut u8, new_len: usize) -> *mut u8;
    }

    if new_len == 0 {
        return ptr::without_provenance_mut(align);
    }
    let old = if old_len == 0 { ptr::null_mut() } else { old };
    // SAFETY: `old` is null or an allocation of this function (fact A). The libc aligns to 16 bytes, which is enough.
    let new = unsafe { realloc(old, new_len) };
    if new.is_null() {
        core::arch::wasm32::unreachable();
    }
    new
}
