//! The memory that a host puts into the guest what it gives.
//!
//! Before it copies a list or a string in, a host asks the guest for memory: for the results of imports through
//! `cabi_import_realloc`, for the parameters of exports through `cabi_export_realloc`, where a guest has these. Here they have
//! it at hand where they can: a read lands in its caller's buffer, and a key in the memory of an earlier key of its length.

#![allow(unsafe_code, reason = "an allocator's interface is raw")]

use allocator::allocate;

/// Where the next list that the host sends is to be put: in the caller's buffer, which saves an allocation, a copy and a
/// release for each read.
pub(super) mod landing {
    use core::mem::MaybeUninit;
    use core::ptr::{self, NonNull};
    use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

    // A dangling pointer with no room takes an empty list as well as the allocator would. wasm has one thread: these are
    // plain loads and stores.
    const NOWHERE: *mut u8 = NonNull::dangling().as_ptr();
    static START: AtomicPtr<u8> = AtomicPtr::new(NOWHERE);
    static ROOM: AtomicUsize = AtomicUsize::new(0);

    pub(in crate::sys) fn set(buf: &mut [MaybeUninit<u8>]) {
        START.store(buf.as_mut_ptr().cast(), Relaxed);
        ROOM.store(buf.len(), Relaxed);
    }

    pub(in crate::sys) fn clear() {
        START.store(NOWHERE, Relaxed);
        ROOM.store(0, Relaxed);
    }

    /// Takes in a list that was allocated after all.
    ///
    /// # Safety
    ///
    /// `list` must be a list of `len` bytes that the host sent, and nobody else's.
    #[cold]
    #[expect(clippy::same_length_and_capacity, reason = "the canonical ABI allocates lists at their length")]
    pub(in crate::sys) unsafe fn missed(list: *mut u8, len: usize, buf: &mut [MaybeUninit<u8>]) {
        // Of an empty list there is no memory, and its address is anything.
        if len == 0 {
            return;
        }
        // SAFETY: a list that the host sent is an allocation of exactly its length.
        let list = unsafe { Vec::from_raw_parts(list, len, len) };
        if let Some(room) = buf.get_mut(..len) {
            // SAFETY: both are `len` bytes, and a new allocation overlaps nothing.
            unsafe { ptr::copy_nonoverlapping(list.as_ptr(), room.as_mut_ptr().cast(), len) };
        }
    }

    #[unsafe(export_name = "cabi_import_realloc")]
    unsafe extern "C" fn cabi_import_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
        if new_len <= ROOM.load(Relaxed) && align == 1 && old_len == 0 {
            let start = START.load(Relaxed);
            // The room is given away once.
            clear();
            return start;
        }
        // SAFETY: the arguments are the host's own, passed on.
        unsafe { super::allocate(old, old_len, align, new_len) }
    }
}

/// Keys, which live as long as their events, and whose memory is kept for the next key of the same length.
///
/// Of the same length, so that whoever is given it, another export of the component perhaps, has an allocation like any other.
pub(crate) mod key {
    use core::cell::Cell;
    use core::mem::{self, ManuallyDrop};
    use core::ptr;

    /// How many allocations are kept at most: one for each length modulo this.
    const KEPT: usize = 8;

    /// Longer keys are not kept.
    const LONGEST: usize = 256;

    struct Kept([Cell<(*mut u8, usize)>; KEPT]);

    // SAFETY: wasm has one thread.
    unsafe impl Sync for Kept {}

    static KEPT_KEYS: Kept = Kept([const { Cell::new((ptr::null_mut(), 0)) }; KEPT]);

    /// A key as the bindings give it.
    pub(crate) struct EventKey(ManuallyDrop<String>);

    impl EventKey {
        #[inline]
        pub(crate) fn new(key: String) -> Self {
            Self(ManuallyDrop::new(key))
        }

        #[inline]
        pub(crate) fn as_str(&self) -> &str {
            &self.0
        }
    }

    impl Drop for EventKey {
        #[inline]
        fn drop(&mut self) {
            let len = self.0.len();
            let kept = &KEPT_KEYS.0[len % KEPT];
            if kept.get().1 == 0 && len <= LONGEST && len == self.0.capacity() {
                kept.set((self.0.as_mut_ptr(), len));
            } else {
                drop(mem::take(&mut *self.0));
            }
        }
    }

    #[unsafe(export_name = "cabi_export_realloc")]
    unsafe extern "C" fn cabi_export_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
        let kept = &KEPT_KEYS.0[new_len % KEPT];
        let (start, len) = kept.get();
        if len == new_len && len > 0 && align == 1 && old_len == 0 {
            kept.set((start, 0));
            return start;
        }
        // SAFETY: the arguments are the host's own, passed on.
        unsafe { super::allocate(old, old_len, align, new_len) }
    }
}

/// With a libc, its allocator is asked as the bindings would, for its own calls to the host go through the same functions.
#[cfg(target_os = "wasi")]
mod allocator {
    unsafe extern "C" {
        #[link_name = "cabi_realloc"]
        pub(super) fn allocate(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8;
    }
}

/// Without one, Rust's allocator is all there is.
#[cfg(not(target_os = "wasi"))]
mod allocator {
    use core::ptr;
    use std::alloc::{Layout, alloc, dealloc};

    /// # Safety
    ///
    /// The arguments must be what the canonical ABI lets a host give to `realloc`.
    pub(super) unsafe fn allocate(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
        let mut new = ptr::without_provenance_mut(align);
        // SAFETY: the canonical ABI's alignments are powers of two, its lengths those of a 32-bit memory, and `old` is null
        // with `old_len` 0, or came from here with this alignment.
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
}
