//! Sums up the lines of the payload, read with `lines` of the standard library.

use core::cell::Cell;
use core::hint::black_box;
use std::io::{self, BufRead as _, BufReader};

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

#[path = "../../stream.rs"]
mod stream;
#[path = "../../sum.rs"]
mod sum;

use stream::Stream;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

thread_local! {
    static SUM: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        let handle = match types::payload_consume_async(payload) {
            Ok(handle) => handle,
            Err(error) => refused(error),
        };
        let stream = Stream { handle, ended: false };
        if add_lines(BufReader::new(stream)).is_err() {
            core::arch::wasm32::unreachable()
        }
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

fn add_lines(reader: BufReader<Stream>) -> io::Result<()> {
    let mut sum = SUM.get();
    for line in reader.lines() {
        sum = sum::add(sum, line?.as_bytes());
    }
    SUM.set(black_box(sum));
    Ok(())
}

/// The host has refused a call. The guest reads the reason, drops the error, and traps.
#[cold]
fn refused(error: u32) -> ! {
    let _reason = types::trace(error);
    types::drop_error(error);
    core::arch::wasm32::unreachable()
}

export!(Watcher);
