//! Reads the payload as a stream, and writes the number of allocations to a value.

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{types, wasi_io};

#[path = "../../counting.rs"]
mod counting;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

/// The maximum number of bytes that one read requests.
const ASK: u64 = 64 * 1024;

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        let before = counting::allocations();
        let stream = match types::payload_consume_async(payload) {
            Ok(stream) => stream,
            Err(error) => refused(error),
        };
        loop {
            match wasi_io::read(stream, ASK) {
                Ok((_, false)) => {}
                Ok((_, true)) => break,
                Err(_) => failed(stream),
            }
        }
        wasi_io::drop_input_stream(stream);
        tell(counting::allocations() - before);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

fn tell(allocations: u64) {
    let value = types::new_value();
    let Ok(body) = types::value_write_body(value) else { core::arch::wasm32::unreachable() };
    // The host of these benchmarks accepts all bytes of a write.
    if wasi_io::write(body, &allocations.to_le_bytes()).is_err() {
        core::arch::wasm32::unreachable()
    }
    wasi_io::drop_output_stream(body);
    types::drop_value(value);
}

/// The host has refused a call. The guest reads the reason, drops the error, and traps.
#[cold]
fn refused(error: u32) -> ! {
    let _reason = types::trace(error);
    types::drop_error(error);
    core::arch::wasm32::unreachable()
}

/// The stream has failed, without a reason. The guest drops it and traps.
#[cold]
fn failed(stream: u32) -> ! {
    wasi_io::drop_input_stream(stream);
    core::arch::wasm32::unreachable()
}

export!(Watcher);
