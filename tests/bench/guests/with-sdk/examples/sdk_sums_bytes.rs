//! Sums up payloads, read whole as `Bytes`. A delete resets the sum.

use core::hint::black_box;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[path = "../../sum.rs"]
mod sum;

#[handle_watch]
#[derive(Default)]
struct Watcher {
    sum: u32,
}

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
        self.sum = black_box(sum::add(self.sum, &payload.into_bytes()?));
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, _key: Key) -> HandlerResult {
        self.sum = 0;
        Ok(())
    }
}
