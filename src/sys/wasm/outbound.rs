//! The functions that act on the store. Those with lists of keys are written by hand: the bindings would make a `String` of each key.
//!
//! The facts that the safety comments name are in [`memory`](super::super::memory).

pub(crate) mod readwrite {
    pub(crate) use crate::outbound_bindings::wasi::keyvalue::readwrite::{delete, exists, get, set};
}

pub(crate) mod atomic {
    pub(crate) use crate::outbound_bindings::wasi::keyvalue::atomic::{compare_and_swap, increment};
}

pub(crate) mod batch {
    use core::mem::MaybeUninit;

    use crate::outbound_bindings;
    use crate::outbound_bindings::wasi::keyvalue::batch;
    use crate::sys::memory::landing::allocating_for_rust;

    /// Keeps the section that describes the imports, as the bindings do for the functions that they declare.
    #[used]
    static DESCRIPTION: fn() = outbound_bindings::__link_custom_section_describing_imports;

    /// A `string` parameter in the layout of the canonical ABI.
    #[repr(C)]
    struct Text {
        start: *const u8,
        len: usize,
    }

    impl Text {
        #[inline]
        fn new(text: &str) -> Self {
            Self { start: text.as_ptr(), len: text.len() }
        }
    }

    /// A `tuple<key, value>`.
    #[repr(C)]
    struct Pair {
        key: Text,
        value: u32,
    }

    /// A `result<list<payload>, error>`.
    #[repr(C)]
    struct PayloadsResult {
        is_err: u8,
        list_or_error: ListOrError,
        list_len: usize,
    }

    /// The canonical ABI puts both cases of a `result` into one place.
    #[repr(C)]
    union ListOrError {
        list: *mut u32,
        error: u32,
    }

    /// A `result<_, error>`.
    #[repr(C)]
    struct UnitResult {
        is_err: u8,
        error: u32,
    }

    #[link(wasm_import_module = "wasi:keyvalue/batch")]
    unsafe extern "C" {
        #[link_name = "get-many"]
        fn get_many_raw(bucket: u32, keys: *const Text, keys_len: usize, result: *mut PayloadsResult);
        #[link_name = "set-many"]
        fn set_many_raw(
            bucket: u32,
            keys: *const Text,
            keys_len: usize,
            values: *const Pair,
            values_len: usize,
            result: *mut UnitResult,
        );
        #[link_name = "delete-many"]
        fn delete_many_raw(bucket: u32, keys: *const Text, keys_len: usize, result: *mut UnitResult);
    }

    #[inline]
    fn texts<K: AsRef<str>>(keys: &[K]) -> Vec<Text> {
        keys.iter().map(|key| Text::new(key.as_ref())).collect()
    }

    #[inline]
    pub(crate) fn get_many<K: AsRef<str>>(bucket: u32, keys: &[K]) -> Result<Vec<u32>, u32> {
        get_texts(bucket, &texts(keys))
    }

    #[expect(clippy::same_length_and_capacity, reason = "an allocation for the host has the length of its list")]
    fn get_texts(bucket: u32, keys: &[Text]) -> Result<Vec<u32>, u32> {
        let mut result = MaybeUninit::<PayloadsResult>::uninit();
        let address = result.as_mut_ptr();
        // SAFETY: the host reads the keys, which live longer than the call. `address` is valid for the result's size and alignment,
        // and the host writes the result there.
        allocating_for_rust(|| unsafe { get_many_raw(bucket, keys.as_ptr(), keys.len(), address) });
        // SAFETY: the host always writes the tag and the member after it. If the tag is 0, it also writes the length.
        unsafe {
            if (*address).is_err != 0 {
                return Err((*address).list_or_error.error);
            }
            let len = (*address).list_len;
            if len == 0 {
                return Ok(Vec::new());
            }
            // SAFETY: there is no room for this list, so it is an allocation of Rust's allocator. Its size is that of `len` numbers, and
            // its alignment is theirs, because the host asked for both (facts A and O). The guest owns it.
            Ok(Vec::from_raw_parts((*address).list_or_error.list, len, len))
        }
    }

    #[inline]
    pub(crate) fn get_keys(bucket: u32) -> Vec<String> {
        allocating_for_rust(|| batch::get_keys(bucket))
    }

    #[inline]
    pub(crate) fn set_many<K: AsRef<str>>(bucket: u32, keys: &[K], values: &[u32]) -> Result<(), u32> {
        let pair = |(key, value): (&K, &u32)| Pair { key: Text::new(key.as_ref()), value: *value };
        set_pairs(bucket, &texts(keys), &keys.iter().zip(values).map(pair).collect::<Vec<_>>())
    }

    fn set_pairs(bucket: u32, keys: &[Text], pairs: &[Pair]) -> Result<(), u32> {
        unit(|result| {
            // SAFETY: the host reads the lists, which live longer than the call, and writes the result.
            unsafe { set_many_raw(bucket, keys.as_ptr(), keys.len(), pairs.as_ptr(), pairs.len(), result) }
        })
    }

    #[inline]
    pub(crate) fn delete_many<K: AsRef<str>>(bucket: u32, keys: &[K]) -> Result<(), u32> {
        delete_texts(bucket, &texts(keys))
    }

    fn delete_texts(bucket: u32, keys: &[Text]) -> Result<(), u32> {
        unit(|result| {
            // SAFETY: the host reads the list, which lives longer than the call, and writes the result.
            unsafe { delete_many_raw(bucket, keys.as_ptr(), keys.len(), result) }
        })
    }

    /// Runs a call that writes its result to the address that it gets.
    #[inline]
    fn unit(call: impl FnOnce(*mut UnitResult)) -> Result<(), u32> {
        let mut result = MaybeUninit::<UnitResult>::uninit();
        let address = result.as_mut_ptr();
        call(address);
        // SAFETY: the host always writes the tag. If the tag is not 0, it also writes the error.
        unsafe { if (*address).is_err == 0 { Ok(()) } else { Err((*address).error) } }
    }
}
