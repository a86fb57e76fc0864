//! Returns errors of several types with `?`.

use core::hint::black_box;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
        let bytes = payload.into_vec()?;
        let text = str::from_utf8(&bytes)?;
        let (_, second) = text.split_once('\u{3}').ok_or("there is no second word")?;
        black_box(second);
        Ok(())
    }
}
