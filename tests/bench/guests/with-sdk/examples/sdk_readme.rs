//! The watcher of the README.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Audit {
    seen: u64,
}

impl HandleWatch for Audit {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        self.seen += 1;
        println!("{} set {key} to {} bytes", self.seen, payload.into_bytes()?.len());
        Ok(())
    }
}
