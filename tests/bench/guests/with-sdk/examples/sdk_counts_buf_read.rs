//! Reads the payload through `BufRead`, and writes the number of allocations to a value.

use std::io::{BufRead, Write};

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

#[path = "../../counting.rs"]
mod counting;

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        let before = counting::allocations();
        loop {
            let len = payload.fill_buf()?.len();
            if len == 0 {
                break;
            }
            payload.consume(len);
        }
        let allocations = counting::allocations() - before;
        Value::new().write_all(&allocations.to_le_bytes())?;
        Ok(())
    }
}
