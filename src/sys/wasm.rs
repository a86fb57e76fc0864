//! On wasm the seam is the generated bindings, and reads that they cannot express: the host writes into the caller's buffer.

#![allow(unsafe_code, reason = "a host writes where the guest's allocator says")]

use core::fmt::Display;

pub(crate) use crate::bindings::wasi::keyvalue::types;

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

    pub(crate) use crate::bindings::wasi::keyvalue::wasi_io::{
        StreamError, drop_input_stream, drop_output_stream, forward, read, skip, splice, write, write_repeated,
    };

    use crate::sys::memory::landing;

    /// `result<tuple<list<u8>, bool>, stream-error>` as the canonical ABI lays it out.
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

    /// The answer to a read that did not fail.
    struct Answer {
        list: *mut u8,
        len: usize,
        end: bool,
    }

    /// Reads. The host writes the list into `room` if it fits there.
    fn read_into_room(src: u32, len: u64, room: &mut [MaybeUninit<u8>]) -> Result<Answer, StreamError> {
        let mut result = MaybeUninit::<ReadResult>::uninit();
        landing::set(room);
        // SAFETY: `result` has the size and alignment of the call's result, and the host writes it.
        unsafe { read_raw(src, len, result.as_mut_ptr()) };
        landing::clear();
        let result = result.as_ptr();
        // SAFETY: the host always writes the tag, and the list and the flag if the tag is 0.
        unsafe {
            if (*result).is_err != 0 {
                return Err(StreamError { dummy: 0 });
            }
            Ok(Answer { list: (*result).list, len: (*result).list_len, end: (*result).end != 0 })
        }
    }

    /// `read`, with the list's bytes in `buf` and no allocation.
    ///
    /// A list longer than `buf`, which no host should send, does not change `buf`. The returned length shows it.
    pub(crate) fn read_into(src: u32, buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError> {
        let Answer { list, len, end } = read_into_room(src, buf.len() as u64, buf)?;
        if list.cast() != buf.as_mut_ptr() {
            // SAFETY: this is the list that the host has just sent.
            unsafe { landing::missed(list, len, buf) };
        }
        Ok((len, end))
    }

    /// `read`, with the list in `chunk`: in the memory of `chunk` if the list fits, or else in new memory.
    #[expect(clippy::same_length_and_capacity, reason = "the canonical ABI allocates lists at their length")]
    pub(crate) fn read_to(src: u32, len: u64, chunk: &mut Vec<u8>) -> Result<(usize, bool), StreamError> {
        chunk.clear();
        let Answer { list, len, end } = read_into_room(src, len, chunk.spare_capacity_mut())?;
        // SAFETY: a list in the memory of the chunk fits there. Any other list is an allocation of exactly its length.
        unsafe {
            if list == chunk.as_mut_ptr() {
                chunk.set_len(len);
            } else if len > 0 {
                *chunk = Vec::from_raw_parts(list, len, len);
            }
        }
        Ok((len, end))
    }
}
