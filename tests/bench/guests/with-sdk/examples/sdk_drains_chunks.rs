//! Reads the payload as chunks of a stream, as fast as possible.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[path = "../../take.rs"]
mod take;

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
        for chunk in payload.into_stream()?.chunks() {
            take::all(&chunk?);
        }
        Ok(())
    }
}
