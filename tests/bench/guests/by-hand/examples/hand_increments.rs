//! Counts the sets in a key of the store.

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::{atomic, types};

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
        if let Err(error) = atomic::increment(bucket, "counts/sets", 1) {
            refused(error);
        }
        types::drop_bucket(bucket);
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
