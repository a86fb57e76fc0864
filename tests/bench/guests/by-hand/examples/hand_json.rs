//! Reads the payload as JSON.

use core::hint::black_box;

use serde::Deserialize;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

#[derive(Deserialize)]
struct User {
    name: String,
    age: u32,
}

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        let bytes = match types::payload_consume_sync(payload) {
            Ok(bytes) => bytes,
            Err(error) => refused(error),
        };
        match serde_json::from_slice::<User>(&bytes) {
            Ok(user) => {
                black_box(user.name.len() + user.age as usize);
            }
            Err(_) => core::arch::wasm32::unreachable(),
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
