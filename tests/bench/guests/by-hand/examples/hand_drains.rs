//! Reads the payload as a stream, as fast as possible.

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{types, wasi_io};

#[path = "../../take.rs"]
mod take;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

/// The maximum number of bytes that one read requests.
const ASK: u64 = 64 * 1024;

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        let stream = match types::payload_consume_async(payload) {
            Ok(stream) => stream,
            Err(error) => refused(error),
        };
        loop {
            match wasi_io::read(stream, ASK) {
                Ok((bytes, end)) => {
                    take::all(&bytes);
                    if end {
                        break;
                    }
                }
                Err(_) => failed(stream),
            }
        }
        wasi_io::drop_input_stream(stream);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
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
