//! The signatures of the draft's functions that the SDK calls. A build for a native target adds a body to each.
//!
//! The handles come before the semicolon, and everything else after it.

/// Passes the functions of the interface `wasi-io` to `$define`, each with its answer when no guest code runs any more.
macro_rules! wasi_io {
    ($define:ident) => {
        $define! {
            fn read(src: Raw; len: u64) -> Result<(Vec<u8>, bool), StreamError> = Err(StreamError);
            fn skip(src: Raw; len: u64) -> Result<(u64, bool), StreamError> = Err(StreamError);
            fn write(dst: Raw; buf: &[u8]) -> Result<u64, StreamError> = Err(StreamError);
            fn write_repeated(dst: Raw; byte: u8, len: u64) -> Result<u64, StreamError> = Err(StreamError);
            fn splice(dst: Raw, src: Raw; len: u64) -> Result<(u64, bool), StreamError> = Err(StreamError);
            fn forward(dst: Raw, src: Raw;) -> Result<u64, StreamError> = Err(StreamError);
            fn drop_input_stream(f: Raw;) = ();
            fn drop_output_stream(f: Raw;) = ();
        }
    };
}
pub(crate) use wasi_io;

/// The same for the interface `types`.
///
/// The functions that return handles are not among them: a native build writes each by hand.
macro_rules! types {
    ($define:ident) => {
        $define! {
            fn drop_bucket(bucket: Raw;) = ();
            fn drop_error(error: Raw;) = ();
            fn trace(error: Raw;) -> String = String::new();
            fn drop_value(value: Raw;) = ();
            fn drop_payload(payload: Raw;) = ();
            fn size(payload: Raw;) -> u64 = 0;
        }
    };
}
pub(crate) use types;

/// The same for the interface `readwrite`, without its functions that take or return handles besides the bucket.
#[cfg(feature = "outbound")]
macro_rules! readwrite {
    ($define:ident) => {
        $define! {
            fn delete(bucket: Raw; key: &str) -> Result<(), Raw> = Ok(());
            fn exists(bucket: Raw; key: &str) -> Result<bool, Raw> = Ok(false);
        }
    };
}
#[cfg(feature = "outbound")]
pub(crate) use readwrite;

/// The same for the interface `atomic`.
#[cfg(feature = "outbound")]
macro_rules! atomic {
    ($define:ident) => {
        $define! {
            fn increment(bucket: Raw; key: &str, delta: u64) -> Result<u64, Raw> = Ok(0);
            fn compare_and_swap(bucket: Raw; key: &str, old: u64, new: u64) -> Result<bool, Raw> = Ok(false);
        }
    };
}
#[cfg(feature = "outbound")]
pub(crate) use atomic;
