//! Reads the payload through `BufRead`, as fast as possible.

use std::io::BufRead;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[path = "../../take.rs"]
mod take;

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        loop {
            let bytes = payload.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            take::all(bytes);
            let len = bytes.len();
            payload.consume(len);
        }
        Ok(())
    }
}
