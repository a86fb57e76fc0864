//! Sums up payloads, read whole. A delete resets the sum.

use core::cell::Cell;
use core::hint::black_box;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

#[path = "../../sum.rs"]
mod sum;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

thread_local! {
    static SUM: Cell<u32> = const { Cell::new(0) };
}

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        match types::payload_consume_sync(payload) {
            Ok(bytes) => SUM.set(black_box(sum::add(SUM.get(), &bytes))),
            Err(error) => refused(error),
        }
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
        SUM.set(0);
    }
}

/// The host has refused to return a payload. The guest reads the reason, drops the error, and traps.
#[cold]
fn refused(error: u32) -> ! {
    let _reason = types::trace(error);
    types::drop_error(error);
    core::arch::wasm32::unreachable()
}

export!(Watcher);
