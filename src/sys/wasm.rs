//! On wasm the seam is the generated bindings, and one call that they have no form for: a read that lands in the caller's
//! buffer.

#![allow(unsafe_code, reason = "a host writes where the guest's allocator says")]

pub(crate) use crate::bindings::wasi::keyvalue::types;

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

    /// `read`, with the list's bytes in `buf` and no allocation.
    ///
    /// A list longer than `buf`, which no host should send, leaves `buf` as it was; the length tells.
    pub(crate) fn read_into(src: u32, buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError> {
        let mut result = MaybeUninit::<ReadResult>::uninit();
        landing::set(buf);
        // SAFETY: `result` has the size and alignment of the call's result, and the host writes it.
        unsafe { read_raw(src, buf.len() as u64, result.as_mut_ptr()) };
        landing::clear();
        let result = result.as_ptr();
        // SAFETY: the tag is always written; where it says so, the list and the flag are too.
        unsafe {
            if (*result).is_err != 0 {
                return Err(StreamError { dummy: 0 });
            }
            let (list, len) = ((*result).list, (*result).list_len);
            if list.cast() != buf.as_mut_ptr() {
                landing::missed(list, len, buf);
            }
            Ok((len, (*result).end != 0))
        }
    }
}
