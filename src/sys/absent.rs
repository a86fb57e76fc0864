//! Native builds without the feature `testing`. Everything compiles, but no function can be called, because there is no host.

use std::fmt::Display;

macro_rules! absent {
    ($(fn $name:ident($($handle:ident: $raw:ident),*; $($parameter:ident: $type:ty),*) $(-> $result:ty)? $(= $nothing:expr)?;)*) => {
        $(
            #[track_caller]
            pub(crate) fn $name($(_: $raw,)* $(_: $type),*) $(-> $result)? {
                super::no_host(stringify!($name))
            }
        )*
    };
}

#[cold]
#[track_caller]
fn no_host(function: &str) -> ! {
    panic!(
        "`{function}` was called without a host. Outside WebAssembly there is a host only in tests: add `inbound-keyvalue = \
         {{ version = \"{}\", features = [\"testing\"] }}` to `[dev-dependencies]`",
        env!("CARGO_PKG_VERSION")
    )
}

/// Ends the event: without a host there is no event, and the caller's test fails.
#[cold]
#[track_caller]
pub(crate) fn trap(message: &impl Display) -> ! {
    panic!("{message}")
}

pub(crate) mod wasi_io {
    use core::mem::MaybeUninit;

    use crate::sys::{Raw, draft};

    /// A failed stream operation. It carries no reason.
    pub(crate) struct StreamError;

    draft::wasi_io!(absent);
    absent! {
        fn read_into(src: Raw; buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError>;
        fn read_to(src: Raw; len: u64, memory: &mut Box<[u8]>) -> Result<(usize, bool), StreamError>;
    }
}

pub(crate) mod types {
    use crate::sys::{Raw, draft};

    draft::types!(absent);
    absent! {
        fn open_bucket(; name: &str) -> Result<Raw, Raw>;
        fn new_value(;) -> Raw;
        fn value_write_body(value: Raw;) -> Result<Raw, ()>;
        fn payload_consume_sync(payload: Raw;) -> Result<Vec<u8>, Raw>;
        fn payload_consume_boxed(payload: Raw;) -> Result<Box<[u8]>, Raw>;
        fn payload_consume_async(payload: Raw;) -> Result<Raw, Raw>;
    }
}

#[cfg(feature = "outbound")]
pub(crate) mod readwrite {
    use crate::sys::{Raw, draft};

    draft::readwrite!(absent);
    absent! {
        fn get(bucket: Raw; key: &str) -> Result<Raw, Raw>;
        fn set(bucket: Raw; key: &str, value: Raw) -> Result<(), Raw>;
    }
}

#[cfg(feature = "outbound")]
pub(crate) mod atomic {
    use crate::sys::{Raw, draft};

    draft::atomic!(absent);
}

#[cfg(feature = "outbound")]
pub(crate) mod batch {
    use crate::sys::Raw;

    #[track_caller]
    pub(crate) fn get_many<K: AsRef<str>>(_: Raw, _: &[K]) -> Result<Vec<Raw>, Raw> {
        super::no_host("get_many")
    }

    #[track_caller]
    pub(crate) fn set_many<K: AsRef<str>>(_: Raw, _: &[K], _: &[Raw]) -> Result<(), Raw> {
        super::no_host("set_many")
    }

    #[track_caller]
    pub(crate) fn delete_many<K: AsRef<str>>(_: Raw, _: &[K]) -> Result<(), Raw> {
        super::no_host("delete_many")
    }

    absent! {
        fn get_keys(bucket: Raw;) -> Vec<String>;
    }
}
