//! Copies the value of one key in the store to another key.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, bucket: Bucket, _key: Key, _payload: Payload) -> HandlerResult {
        bucket.set_bytes("settings/before", bucket.get("settings/current")?.into_vec()?)?;
        Ok(())
    }
}
