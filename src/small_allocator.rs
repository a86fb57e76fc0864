//! The global allocator of the feature `small-allocator`.
//!
//! The sizes of blocks are powers of two. Each size has a list of free blocks. If the list is empty, a block of twice the size is
//! split. The memory of WebAssembly grows when there is no block of a page.
//!
//! A free block is never merged with its neighbour. So a heap holds at most the sum of what each size needed at its peak.
//!
//! `talc` 5.1.1 was compared: it merges free blocks, is 1.2 kB larger, and took 500 to 690 instructions more for an event that reads
//! `Bytes`. `lol_alloc` 0.4.1 is 0.2 kB larger, and searches one list of all free blocks.
//!
//! Native builds use this module in tests only: `cargo test --lib small_allocator`, and
//! `cargo +nightly miri test -p inbound-keyvalue --lib small_allocator`.

#![allow(unsafe_code, reason = "an allocator's interface is raw")]
#![allow(clippy::cast_ptr_alignment, reason = "every block is aligned to 16 bytes or more")]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr;

/// The smallest block is 2 to this power bytes: 16, so that it has room for a pointer and the alignment that C expects.
const LEAST: u32 = 4;

/// The largest alignment of a layout, in bytes: a page of WebAssembly.
const PAGE: usize = 64 * 1024;

/// The number of sizes of blocks.
const SIZES: usize = (usize::BITS - LEAST) as usize + 1;

/// The source of an allocator's memory.
///
/// # Safety
///
/// The memory that `grow` returns must be aligned to a page. It must be writable, and belong to the allocator for ever.
unsafe trait Source {
    /// `bytes` bytes, a multiple of a page; null if there is no more memory.
    fn grow(&self, bytes: usize) -> *mut u8;
}

/// An allocator. It is for one thread.
struct Allocator<S> {
    /// The first free block of each size. A free block begins with the address of the next.
    free: [Cell<*mut u8>; SIZES],
    source: S,
}

/// The index of the size of block for a layout.
#[inline]
fn index_of(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align()).max(1 << LEAST);
    // The exponent of the next power of two.
    (usize::BITS - (bytes - 1).leading_zeros() - LEAST) as usize
}

impl<S: Source> Allocator<S> {
    const fn new(source: S) -> Self {
        Self { free: [const { Cell::new(ptr::null_mut()) }; SIZES], source }
    }

    /// A block of the size with this index; null if there is no more memory.
    fn take(&self, index: usize) -> *mut u8 {
        let Some(free) = self.free.get(index) else { return ptr::null_mut() };
        let block = free.get();
        if block.is_null() {
            return self.split(index);
        }
        // SAFETY: `add` wrote the address of the next block there, and a free block belongs to the allocator.
        free.set(unsafe { block.cast::<*mut u8>().read() });
        block
    }

    /// A block of the size with this index, from a block of twice the size or from new memory.
    #[cold]
    #[inline(never)]
    fn split(&self, index: usize) -> *mut u8 {
        let Some(bytes) = 1_usize.checked_shl(u32::try_from(index).unwrap_or(u32::MAX).saturating_add(LEAST)) else {
            return ptr::null_mut();
        };
        if bytes >= PAGE {
            return self.source.grow(bytes);
        }
        let block = self.take(index + 1);
        if !block.is_null() {
            // SAFETY: the block has twice as many bytes, so its second half is a block of this size.
            unsafe { self.add(index, block.add(bytes)) };
        }
        block
    }

    /// Puts a block into the list of the size with this index.
    ///
    /// # Safety
    ///
    /// The block must have this size, and belong to the allocator.
    unsafe fn add(&self, index: usize, block: *mut u8) {
        if let Some(free) = self.free.get(index) {
            // SAFETY: the block has at least 16 bytes and is aligned to at least 16, which is enough for a pointer.
            unsafe { block.cast::<*mut u8>().write(free.replace(block)) };
        }
    }
}

// SAFETY: a block has as many bytes as its layout asks for, and is aligned to its size or to a page. `take` removes a block from the
// list, so no two owners have the same block.
unsafe impl<S: Source> GlobalAlloc for Allocator<S> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > PAGE {
            return ptr::null_mut();
        }
        self.take(index_of(layout))
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: `alloc` has returned the block for this layout, and the caller does not use it again.
        unsafe { self.add(index_of(layout), block) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: the caller promises that `bytes`, rounded up to the alignment, is a valid size.
        let wanted = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        if index_of(wanted) == index_of(layout) {
            return block;
        }
        let new = self.take(index_of(wanted));
        if !new.is_null() {
            // SAFETY: both blocks have that many bytes. The new one was free, so they do not overlap. The old one belongs to the
            // caller, who does not use it again.
            unsafe {
                ptr::copy_nonoverlapping(block, new, layout.size().min(bytes));
                self.add(index_of(layout), block);
            }
        }
        new
    }
}

/// The memory of the component.
#[cfg(target_family = "wasm")]
struct LinearMemory;

// SAFETY: `memory.grow` adds pages that nothing else uses, and they are never taken away.
#[cfg(target_family = "wasm")]
unsafe impl Source for LinearMemory {
    fn grow(&self, bytes: usize) -> *mut u8 {
        match core::arch::wasm32::memory_grow(0, bytes / PAGE) {
            usize::MAX => ptr::null_mut(),
            pages => ptr::with_exposed_provenance_mut(pages * PAGE),
        }
    }
}

// SAFETY: there is one thread. With threads, `sys` does not compile.
#[cfg(target_family = "wasm")]
unsafe impl Sync for Allocator<LinearMemory> {}

#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: Allocator<LinearMemory> = Allocator::new(LinearMemory);

#[cfg(test)]
#[path = "small_allocator_tests.rs"]
mod tests;
