//! Reads the payload as chunks of a stream, and writes the number of allocations to a value.

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
