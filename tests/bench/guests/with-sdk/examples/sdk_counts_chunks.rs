//! Reads what was set as a stream's chunks, and writes to a value how many allocations there were.

use std::io::Write;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

#[path = "../../counting.rs"]
mod counting;

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
        let before = counting::allocations();
        for chunk in payload.into_stream()?.chunks() {
            chunk?;
        }
        let allocations = counting::allocations() - before;
        Value::new().write_all(&allocations.to_le_bytes())?;
        Ok(())
    }
}
