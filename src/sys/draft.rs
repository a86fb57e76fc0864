//! The signatures of the draft's functions that the SDK calls, once. A build for a native target gives each a body.

/// Passes the functions of the interface `wasi-io` to `$define`, each with its answer when no guest code runs any more.
macro_rules! wasi_io {
    ($define:ident) => {
        $define! {
            fn read(src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> = Err(StreamError);
            fn skip(src: u32, len: u64) -> Result<(u64, bool), StreamError> = Err(StreamError);
            fn write(dst: u32, buf: &[u8]) -> Result<u64, StreamError> = Err(StreamError);
            fn write_repeated(dst: u32, byte: u8, len: u64) -> Result<u64, StreamError> = Err(StreamError);
            fn splice(dst: u32, src: u32, len: u64) -> Result<(u64, bool), StreamError> = Err(StreamError);
            fn forward(dst: u32, src: u32) -> Result<u64, StreamError> = Err(StreamError);
            fn drop_input_stream(f: u32) = ();
            fn drop_output_stream(f: u32) = ();
        }
    };
}
pub(crate) use wasi_io;

/// The same for the interface `types`.
///
/// `payload-consume-sync` is not among them: the test host shares the bytes of its answer, and the seam copies them.
macro_rules! types {
    ($define:ident) => {
        $define! {
            fn drop_bucket(bucket: u32) = ();
            fn open_bucket(name: &str) -> Result<u32, u32> = Ok(0);
            fn drop_error(error: u32) = ();
            fn trace(error: u32) -> String = String::new();
            fn drop_value(value: u32) = ();
            fn new_value() -> u32 = 0;
            fn value_write_body(value: u32) -> Result<u32, ()> = Err(());
            fn drop_payload(payload: u32) = ();
            fn payload_consume_async(payload: u32) -> Result<u32, u32> = Ok(0);
            fn size(payload: u32) -> u64 = 0;
        }
    };
}
pub(crate) use types;
