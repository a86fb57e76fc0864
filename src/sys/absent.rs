//! Native builds without the feature `testing`: everything compiles and nothing can be called, for there is no host.

macro_rules! absent {
    ($(fn $name:ident($($parameter:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(
            #[track_caller]
            pub(crate) fn $name($(_: $type),*) $(-> $result)? {
                super::no_host(stringify!($name))
            }
        )*
    };
}

#[cold]
#[track_caller]
fn no_host(function: &str) -> ! {
    panic!(
        "`{function}` was called where there is no host. Outside WebAssembly a host is there only in tests: add \
         `inbound-keyvalue = {{ version = \"{}\", features = [\"testing\"] }}` to `[dev-dependencies]`",
        env!("CARGO_PKG_VERSION")
    )
}

pub(crate) mod wasi_io {
    use core::mem::MaybeUninit;

    /// What a failed stream operation tells: nothing.
    pub(crate) struct StreamError;

    absent! {
        fn read(src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError>;
        fn read_into(src: u32, buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError>;
        fn read_to(src: u32, len: u64, chunk: &mut Vec<u8>) -> Result<(usize, bool), StreamError>;
        fn skip(src: u32, len: u64) -> Result<(u64, bool), StreamError>;
        fn write(dst: u32, buf: &[u8]) -> Result<u64, StreamError>;
        fn write_repeated(dst: u32, byte: u8, len: u64) -> Result<u64, StreamError>;
        fn splice(dst: u32, src: u32, len: u64) -> Result<(u64, bool), StreamError>;
        fn forward(dst: u32, src: u32) -> Result<u64, StreamError>;
        fn drop_input_stream(f: u32);
        fn drop_output_stream(f: u32);
    }
}

pub(crate) mod types {
    absent! {
        fn drop_bucket(bucket: u32);
        fn open_bucket(name: &str) -> Result<u32, u32>;
        fn drop_error(error: u32);
        fn trace(error: u32) -> String;
        fn drop_value(value: u32);
        fn new_value() -> u32;
        fn value_write_body(value: u32) -> Result<u32, ()>;
        fn drop_payload(payload: u32);
        fn payload_consume_sync(payload: u32) -> Result<Vec<u8>, u32>;
        fn payload_consume_async(payload: u32) -> Result<u32, u32>;
        fn size(payload: u32) -> u64;
    }
}
