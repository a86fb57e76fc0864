//! Creates as many values as the payload says, keeps all of them, and then drops them in the order of creation.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
        let count: usize = payload.into_string()?.parse()?;
        let values: Vec<Value> = (0..count).map(|_| Value::new()).collect();
        drop(values);
        Ok(())
    }
}
