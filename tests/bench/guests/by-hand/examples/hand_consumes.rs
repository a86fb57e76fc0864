//! Reads the payload, and does nothing with it.

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        if let Err(error) = types::payload_consume_sync(payload) {
            refused(error);
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
