//! Returns errors of several types with `?`.

use core::error::Error;
use core::fmt;
use core::hint::black_box;

use crate::exports::wasi::keyvalue::handle_watch::Guest;
use crate::wasi::keyvalue::types;

wit_bindgen::generate!({ path: "../../../../wit", world: "inbound-keyvalue" });

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: u32, _key: String, payload: u32) {
        types::drop_bucket(bucket);
        if handle(payload).is_err() {
            core::arch::wasm32::unreachable()
        }
    }

    fn on_delete(bucket: u32, _key: String) {
        types::drop_bucket(bucket);
    }
}

fn handle(payload: u32) -> Result<(), Box<dyn Error>> {
    let bytes = types::payload_consume_sync(payload).map_err(Refused::new)?;
    let text = str::from_utf8(&bytes)?;
    let (_, second) = text.split_once('\u{3}').ok_or("there is no second word")?;
    black_box(second);
    Ok(())
}

/// The host's reason for a refused call.
struct Refused(String);

impl Refused {
    #[cold]
    fn new(error: u32) -> Self {
        let reason = types::trace(error);
        types::drop_error(error);
        Self(reason)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Refused {}

export!(Watcher);
