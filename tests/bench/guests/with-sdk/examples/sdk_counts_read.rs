//! Reads the payload into the watcher's own buffer, and writes the number of allocations to a value.

use std::io::{Read, Write};

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, MAX_READ, Payload, Value, handle_watch};

#[path = "../../counting.rs"]
mod counting;

#[handle_watch(init = Watcher { buffer: vec![0; MAX_READ] })]
struct Watcher {
    buffer: Vec<u8>,
}

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        let before = counting::allocations();
        while payload.read(&mut self.buffer)? > 0 {}
        let allocations = counting::allocations() - before;
        Value::new().write_all(&allocations.to_le_bytes())?;
        Ok(())
    }
}
