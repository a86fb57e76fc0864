//! The place for the next list that an import returns: the buffer of the caller. This saves an allocation, a copy and a release
//! for each read.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

use super::allocator;

/// An empty list needs no memory, but an address that is not null.
const NOWHERE: *mut u8 = NonNull::dangling().as_ptr();

// There is one thread (fact T), so the compiler makes plain loads and stores of these.
static START: AtomicPtr<u8> = AtomicPtr::new(NOWHERE);
static ROOM: AtomicUsize = AtomicUsize::new(0);

/// Whether the call in progress is the SDK's, so that Rust code will own what the host allocates.
#[cfg(target_env = "p2")]
static FOR_RUST: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);

/// Where the bytes of a list are.
pub(in crate::sys) enum Landed {
    /// At the start of the room.
    InRoom,
    /// In an allocation, because the list is larger than the room.
    Allocated(Vec<u8>),
}

/// Runs `call`, which calls one import, and offers `room` for the list that the import returns.
#[inline]
pub(in crate::sys) fn with_room<R>(room: &mut [MaybeUninit<u8>], call: impl FnOnce() -> R) -> R {
    START.store(room.as_mut_ptr().cast(), Relaxed);
    ROOM.store(room.len(), Relaxed);
    let result = allocating_for_rust(call);
    withdraw_room();
    result
}

/// Runs `call`, which calls imports whose lists and strings Rust code will own.
#[inline]
pub(in crate::sys) fn allocating_for_rust<R>(call: impl FnOnce() -> R) -> R {
    #[cfg(target_env = "p2")]
    FOR_RUST.store(true, Relaxed);
    let result = call();
    #[cfg(target_env = "p2")]
    FOR_RUST.store(false, Relaxed);
    result
}

fn withdraw_room() {
    START.store(NOWHERE, Relaxed);
    ROOM.store(0, Relaxed);
}

/// Finds the list that an import has returned.
///
/// # Safety
///
/// The host must have passed `start` and `len` as a `list<u8>` during a call in [`with_room`] with this room, and this function
/// must be called once for each such list.
#[inline]
#[expect(clippy::same_length_and_capacity, reason = "an allocation for the host has the length of its list")]
pub(in crate::sys) unsafe fn landed(start: *mut u8, len: usize, room: &[MaybeUninit<u8>]) -> Landed {
    // Without bytes there is no allocation, and the address means nothing.
    if len == 0 || start.cast_const() == room.as_ptr().cast() {
        // The list is not longer than the room: else the host would have got another address (fact L).
        return Landed::InRoom;
    }
    // SAFETY: the caller promises that the list is the host's, and it is in no room. So facts L and O hold for it.
    Landed::Allocated(unsafe { Vec::from_raw_parts(start, len, len) })
}

#[unsafe(export_name = "cabi_import_realloc")]
unsafe extern "C" fn cabi_import_realloc(old: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len <= ROOM.load(Relaxed) && align == 1 && old_len == 0 {
        let start = START.load(Relaxed);
        // A second list must not overwrite the first.
        withdraw_room();
        return start;
    }
    #[cfg(target_env = "p2")]
    if !FOR_RUST.load(Relaxed) {
        // SAFETY: the arguments are the host's (fact A).
        return unsafe { allocator::allocate_for_libc(old, old_len, align, new_len) };
    }
    // SAFETY: the arguments are the host's (fact A).
    unsafe { allocator::allocate(old, old_len, align, new_len) }
}
