//! Writes a line to a value, with `writeln!`.

use std::io::Write as _;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

#[path = "../../body.rs"]
mod body;

use body::Body;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, key: String, payload: u32) {
        types::drop_bucket(bucket);
        types::drop_payload(payload);
        let value = types::new_value();
        let Ok(body) = types::value_write_body(value) else { core::arch::wasm32::unreachable() };
        if writeln!(Body(body), "{key} was set").is_err() {
            core::arch::wasm32::unreachable()
        }
        types::drop_value(value);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

export!(Watcher);
