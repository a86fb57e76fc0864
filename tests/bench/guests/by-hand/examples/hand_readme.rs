//! The watcher of the README.

use core::cell::Cell;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

thread_local! {
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

impl Guest for Watcher {
    fn on_set(bucket: u32, key: String, payload: u32) {
        types::drop_bucket(bucket);
        let seen = SEEN.get() + 1;
        SEEN.set(seen);
        match types::payload_consume_sync(payload) {
            Ok(bytes) => println!("{seen} set {key} to {} bytes", bytes.len()),
            Err(error) => refused(error),
        }
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
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
