//! The key of an event. Its memory is kept after the event and used again for the next key of the same length.
//!
//! The length must be the same, because the next owner of the memory can be code that does not know about this: a component can
//! have exports beside the watcher's. That owner must be able to release it like any other allocation.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ptr;

use super::allocator;

/// The number of allocations that are kept. A key's slot is its length modulo this number.
const SLOTS: usize = 8;

/// Longer keys are not kept.
const MAX_KEPT_LEN: usize = 256;

/// Each slot is the address and length of an allocation that has no owner but the slot, or has the length 0 and is empty.
struct Slots([Cell<(*mut u8, usize)>; SLOTS]);

// SAFETY: there is one thread (fact T).
unsafe impl Sync for Slots {}

static FREED_KEYS: Slots = Slots([const { Cell::new((ptr::null_mut(), 0)) }; SLOTS]);

/// A key as the bindings pass it.
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
        let (len, room) = (self.0.len(), self.0.capacity());
        // SAFETY: the string is not dropped and not used again.
        unsafe { keep(self.0.as_mut_ptr(), len, room) };
    }
}

/// Keeps the memory of a key if its slot is empty. Else it is freed.
///
/// The parts come by value: if the key's address reached a function, the compiler would keep the key in memory.
///
/// # Safety
///
/// They must be the parts of a `String` that nothing else owns.
#[inline(never)]
unsafe fn keep(start: *mut u8, len: usize, room: usize) {
    let slot = &FREED_KEYS.0[len % SLOTS];
    if slot.get().1 == 0 && len <= MAX_KEPT_LEN && len == room {
        slot.set((start, len));
    } else {
        // SAFETY: the caller passes the parts of a string.
        drop(unsafe { String::from_raw_parts(start, len, room) });
    }
}

#[unsafe(export_name = "cabi_export_realloc")]
unsafe extern "C" fn cabi_export_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    let slot = &FREED_KEYS.0[new_len % SLOTS];
    let (start, len) = slot.get();
    if len == new_len && len > 0 && align == 1 && old_len == 0 {
        // The host owns it from here on.
        slot.set((start, 0));
        return start;
    }
    // SAFETY: the arguments are the host's (fact A).
    unsafe { allocator::allocate(old, old_len, align, new_len) }
}
