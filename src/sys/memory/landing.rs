//! The place for the next list that an import returns: the buffer of the caller. This saves an allocation, a copy and a release
//! for each read.

use core::cell::Cell;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use super::allocator;

/// An empty list needs no memory, but an address that is not null.
const NOWHERE: *mut u8 = NonNull::dangling().as_ptr();

/// Information from the SDK for the allocator, about the call in progress.
struct InCall<T>(Cell<T>);

// SAFETY: there is one thread (fact T).
unsafe impl<T> Sync for InCall<T> {}

// Plain cells, and not atomic numbers: if a component never offers room, the compiler sees that both keep these values.
static START: InCall<*mut u8> = InCall(Cell::new(NOWHERE));
static ROOM: InCall<usize> = InCall(Cell::new(0));

/// Whether the call in progress is the SDK's, so that Rust code will own what the host allocates.
#[cfg(target_env = "p2")]
static FOR_RUST: InCall<bool> = InCall(Cell::new(false));

/// The place of the bytes of a list.
pub(in crate::sys) enum Landed {
    /// At the start of the room.
    InRoom,
    /// In an allocation, because the list is larger than the room.
    Allocated(Box<[u8]>),
}

/// Runs `call`, which calls one import, and offers `room` for the list that the import returns.
#[inline]
pub(in crate::sys) fn with_room<R>(room: &mut [MaybeUninit<u8>], call: impl FnOnce() -> R) -> R {
    START.0.set(room.as_mut_ptr().cast());
    ROOM.0.set(room.len());
    let result = allocating_for_rust(call);
    withdraw_room();
    result
}

/// Runs `call`, which calls imports whose lists and strings Rust code will own.
#[inline]
pub(in crate::sys) fn allocating_for_rust<R>(call: impl FnOnce() -> R) -> R {
    #[cfg(target_env = "p2")]
    FOR_RUST.0.set(true);
    let result = call();
    #[cfg(target_env = "p2")]
    FOR_RUST.0.set(false);
    result
}

fn withdraw_room() {
    START.0.set(NOWHERE);
    ROOM.0.set(0);
}

/// Finds the list that an import has returned.
///
/// # Safety
///
/// The host must have passed `start` and `len` as a `list<u8>` during a call in [`with_room`] with this room, and this function
/// must be called once for each such list.
#[inline]
pub(in crate::sys) unsafe fn landed(start: *mut u8, len: usize, room: &[MaybeUninit<u8>]) -> Landed {
    // Without bytes there is no allocation, and the address means nothing.
    if len == 0 || start.cast_const() == room.as_ptr().cast() {
        // The list is not longer than the room: else the host would have got another address (fact L).
        return Landed::InRoom;
    }
    // SAFETY: the caller promises that the list is the host's, and it is in no room. So facts L and O hold for it.
    Landed::Allocated(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(start, len)) })
}

/// A list as a box.
///
/// `Vec::into_boxed_slice` would contain the code that shrinks an allocation, because the compiler cannot always see that there is
/// nothing to shrink. This code is 1 kB.
///
/// # Safety
///
/// The bindings must have made the list of a `list<u8>` that did not land in room.
#[inline]
pub(in crate::sys) unsafe fn boxed(list: Vec<u8>) -> Box<[u8]> {
    let mut list = ManuallyDrop::new(list);
    // Without bytes there is no allocation, and the address means nothing.
    if list.is_empty() {
        return Box::default();
    }
    // SAFETY: the list is an allocation of its own length (fact O), and its owner is forgotten.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(list.as_mut_ptr(), list.len())) }
}

#[unsafe(export_name = "cabi_import_realloc")]
unsafe extern "C" fn cabi_import_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len <= ROOM.0.get() && align == 1 && old_len == 0 {
        let start = START.0.get();
        // A second list must not overwrite the first.
        withdraw_room();
        return start;
    }
    #[cfg(target_env = "p2")]
    if !FOR_RUST.0.get() {
        // SAFETY: the arguments are the host's (fact A).
        return unsafe { allocator::allocate_for_libc(old, old_len, align, new_len) };
    }
    // SAFETY: the arguments are the host's (fact A).
    unsafe { allocator::allocate(old, old_len, align, new_len) }
}
