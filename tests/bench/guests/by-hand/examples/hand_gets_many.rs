//! Reads the values of ten keys in the store, and adds up their lengths.

use core::hint::black_box;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{batch, types};

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
        let keys = KEYS.map(str::to_owned);
        match batch::get_many(bucket, &keys) {
            Ok(payloads) => {
                let mut bytes = 0;
                for payload in payloads {
                    match types::payload_consume_sync(payload) {
                        Ok(content) => bytes += content.len(),
                        Err(error) => refused(error),
                    }
                }
                black_box(bytes);
            }
            Err(error) => refused(error),
        }
        types::drop_bucket(bucket);
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

const KEYS: [&str; 10] =
    ["shops/0", "shops/1", "shops/2", "shops/3", "shops/4", "shops/5", "shops/6", "shops/7", "shops/8", "shops/9"];

/// The host has refused a call. The guest reads the reason, drops the error, and traps.
#[cold]
fn refused(error: u32) -> ! {
    let _reason = types::trace(error);
    types::drop_error(error);
    core::arch::wasm32::unreachable()
}

export!(Watcher);
