//! Copies the payload to a value, with `copy` of the standard library.

use std::io;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

#[path = "../../body.rs"]
mod body;
#[path = "../../stream.rs"]
mod stream;

use body::Body;
use stream::Stream;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        let handle = match types::payload_consume_async(payload) {
            Ok(handle) => handle,
            Err(error) => refused(error),
        };
        let mut stream = Stream { handle, ended: false };
        let value = types::new_value();
        let Ok(body) = types::value_write_body(value) else { core::arch::wasm32::unreachable() };
        if io::copy(&mut stream, &mut Body(body)).is_err() {
            core::arch::wasm32::unreachable()
        }
        types::drop_value(value);
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

export!(Watcher);
