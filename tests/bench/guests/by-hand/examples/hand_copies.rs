//! Copies the value of one key in the store to another key.

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{readwrite, types, wasi_io};

wit_bindgen::generate!({
    inline: "
        package bench:guest;

        world acts {
            include wasi:keyvalue/inbound-keyvalue;
            include wasi:keyvalue/outbound-keyvalue;
        }
    ",
    path: "../../../../wit",
    world: "bench:guest/acts",
    generate_all,
});

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_payload(payload);
        match readwrite::get(bucket, "settings/current") {
            Ok(payload) => match types::payload_consume_sync(payload) {
                Ok(content) => store(bucket, "settings/before", &content),
                Err(error) => refused(error),
            },
            Err(error) => refused(error),
        }
        types::drop_bucket(bucket);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

fn store(bucket: u32, key: &str, mut rest: &[u8]) {
    let value = types::new_value();
    let Ok(body) = types::value_write_body(value) else { failed() };
    while !rest.is_empty() {
        match wasi_io::write(body, rest) {
            Ok(taken) if taken > 0 => match usize::try_from(taken).ok().and_then(|taken| rest.get(taken..)) {
                Some(left) => rest = left,
                None => failed(),
            },
            _ => failed(),
        }
    }
    wasi_io::drop_output_stream(body);
    if let Err(error) = readwrite::set(bucket, key, value) {
        refused(error);
    }
    types::drop_value(value);
}

/// The value cannot be written. The guest traps.
#[cold]
fn failed() -> ! {
    core::arch::wasm32::unreachable()
}

/// The host has refused a call. The guest reads the reason, drops the error, and traps.
#[cold]
fn refused(error: u32) -> ! {
    let _reason = types::trace(error);
    types::drop_error(error);
    core::arch::wasm32::unreachable()
}

export!(Watcher);
