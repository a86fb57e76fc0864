//! Copies the payload to a value, with `copy` of the standard library.

use std::io;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        let mut value = Value::new();
        io::copy(&mut payload, &mut value)?;
        value.finish()?;
        Ok(())
    }
}
