//! Opens a bucket, and reads the payload. The key decides whether it is read whole or as a stream.

use core::cell::Cell;
use core::hint::black_box;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{types, wasi_io};

#[path = "../../sum.rs"]
mod sum;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

/// The maximum number of bytes that one read requests.
const ASK: u64 = 64 * 1024;

struct Watcher;

thread_local! {
    static SUM: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Watcher {
    fn on_set(bucket: u32, key: String, payload: u32) {
        types::drop_bucket(bucket);
        let log = match types::open_bucket("log") {
            Ok(log) => log,
            Err(error) => refused(error),
        };
        let sum = if key.starts_with("small/") { whole(payload) } else { streamed(payload) };
        SUM.set(black_box(sum));
        types::drop_bucket(log);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

fn whole(payload: u32) -> u32 {
    match types::payload_consume_sync(payload) {
        Ok(bytes) => sum::add(SUM.get(), &bytes),
        Err(error) => refused(error),
    }
}

fn streamed(payload: u32) -> u32 {
    let stream = match types::payload_consume_async(payload) {
        Ok(stream) => stream,
        Err(error) => refused(error),
    };
    let mut sum = SUM.get();
    loop {
        match wasi_io::read(stream, ASK) {
            Ok((bytes, end)) => {
                sum = sum::add(sum, &bytes);
                if end {
                    break;
                }
            }
            Err(_) => failed(stream),
        }
    }
    wasi_io::drop_input_stream(stream);
    sum
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
