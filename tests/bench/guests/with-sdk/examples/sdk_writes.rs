//! Writes a line to a value, with `writeln!`.

use std::io::Write as _;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, key: Key, _payload: Payload) -> HandlerResult {
        let mut value = Value::new();
        writeln!(value, "{key} was set")?;
        value.finish()?;
        Ok(())
    }
}
