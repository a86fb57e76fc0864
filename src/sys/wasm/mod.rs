//! The seam on wasm: the generated bindings. One call is written by hand, because the bindings have no form for it: a read whose
//! list lands in the caller's buffer.
//!
//! The facts that the safety comments name are in [`memory`](super::memory).

#![allow(unsafe_code, reason = "the host writes to where the guest's allocator says")]

#[cfg(feature = "outbound")]
pub(super) mod outbound;

use core::fmt::Display;

pub(crate) mod types {
    pub(crate) use crate::bindings::wasi::keyvalue::types::{
        drop_bucket, drop_error, drop_payload, drop_value, new_value, open_bucket, payload_consume_async, size,
        value_write_body,
    };

    use crate::bindings::wasi::keyvalue::types;
    use crate::sys::memory::landing::{allocating_for_rust, boxed};

    #[inline]
    pub(crate) fn payload_consume_sync(payload: u32) -> Result<Vec<u8>, u32> {
        allocating_for_rust(|| types::payload_consume_sync(payload))
    }

    /// The same, with the list as a box.
    #[inline]
    pub(crate) fn payload_consume_boxed(payload: u32) -> Result<Box<[u8]>, u32> {
        // SAFETY: the bindings make the list from what the host has passed, and there was no room for it.
        payload_consume_sync(payload).map(|list| unsafe { boxed(list) })
    }

    #[inline]
    pub(crate) fn trace(error: u32) -> String {
        allocating_for_rust(|| types::trace(error))
    }
}

/// Ends the event with a trap. The message goes to standard error, if the target has one.
#[cold]
pub(crate) fn trap(message: &impl Display) -> ! {
    #[cfg(target_os = "wasi")]
    {
        use std::io::Write as _;
        // The event fails in any case, also if standard error is closed.
        let _ = writeln!(std::io::stderr(), "{message}");
    }
    // Without a standard error, no formatting code is compiled in.
    #[cfg(not(target_os = "wasi"))]
    let _ = message;
    core::arch::wasm32::unreachable()
}

pub(crate) mod wasi_io {
    use core::mem::MaybeUninit;
    use core::ptr;

    pub(crate) use crate::bindings::wasi::keyvalue::wasi_io::{
        StreamError, drop_input_stream, drop_output_stream, forward, skip, splice, write, write_repeated,
    };

    use crate::bindings::wasi::keyvalue::wasi_io;
    use crate::sys::memory::landing::{self, Landed, allocating_for_rust};

    /// `result<tuple<list<u8>, bool>, stream-error>` in the layout of the canonical ABI.
    #[repr(C)]
    struct ReadResult {
        is_err: u8,
        list: *mut u8,
        list_len: usize,
        end: u8,
    }

    #[link(wasm_import_module = "wasi:keyvalue/wasi-io")]
    unsafe extern "C" {
        #[link_name = "read"]
        fn read_raw(src: u32, len: u64, result: *mut ReadResult);
    }

    #[inline]
    pub(crate) fn read(src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        allocating_for_rust(|| wasi_io::read(src, len))
    }

    /// A list that the host has passed during a call with room for it. It must be given to [`landing::landed`] once.
    struct HostList {
        start: *mut u8,
        len: usize,
        end: bool,
    }

    /// Reads. The list is in `room` if it fits there.
    ///
    /// This leaves `landed` to its callers. They match on its result at once, so the compiler never builds that result.
    #[inline]
    fn read_with_room(src: u32, len: u64, room: &mut [MaybeUninit<u8>]) -> Result<HostList, StreamError> {
        let mut result = MaybeUninit::<ReadResult>::uninit();
        let address = result.as_mut_ptr();
        // SAFETY: `address` is valid for the result's size and alignment, and the host writes the result there.
        landing::with_room(room, || unsafe { read_raw(src, len, address) });
        // SAFETY: the host always writes the tag. If the tag is 0, it also writes the list and the flag.
        unsafe {
            if (*address).is_err != 0 {
                return Err(StreamError { dummy: 0 });
            }
            Ok(HostList { start: (*address).list, len: (*address).list_len, end: (*address).end != 0 })
        }
    }

    /// `read`, with the bytes of the list in `buf` and without an allocation.
    ///
    /// No host should send more than it was asked for. If one does, `buf` stays as it was, and the length shows it.
    pub(crate) fn read_into(src: u32, buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError> {
        let HostList { start, len, end } = read_with_room(src, buf.len() as u64, buf)?;
        // SAFETY: the host has passed the list for this room, and this is the only call for it.
        if let Landed::Allocated(list) = unsafe { landing::landed(start, len, buf) } {
            copy(&list, buf);
        }
        Ok((len, end))
    }

    /// Copies a list that fits.
    #[cold]
    fn copy(list: &[u8], buf: &mut [MaybeUninit<u8>]) {
        if let Some(start) = buf.get_mut(..list.len()) {
            for (to, from) in start.iter_mut().zip(list) {
                to.write(*from);
            }
        }
    }

    /// `read`, with the bytes of the list at the start of `memory`. If they do not fit, `memory` becomes the list's own.
    pub(crate) fn read_to(src: u32, len: u64, memory: &mut Box<[u8]>) -> Result<(usize, bool), StreamError> {
        // SAFETY: the host writes bytes to the room or nothing, so the memory stays initialised.
        let room = unsafe { &mut *(ptr::from_mut(&mut **memory) as *mut [MaybeUninit<u8>]) };
        let HostList { start, len, end } = read_with_room(src, len, room)?;
        // SAFETY: the host has passed the list for this room, and this is the only call for it.
        if let Landed::Allocated(list) = unsafe { landing::landed(start, len, room) } {
            *memory = list;
        }
        Ok((len, end))
    }
}
