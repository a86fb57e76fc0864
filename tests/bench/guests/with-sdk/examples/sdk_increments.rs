//! Counts the sets in a key of the store.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, bucket: Bucket, _key: Key, _payload: Payload) -> HandlerResult {
        bucket.increment("counts/sets", 1)?;
        Ok(())
    }
}
