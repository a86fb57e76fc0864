//! Sums up payloads, read into the watcher's own buffer. A delete resets the sum.

use core::hint::black_box;
use std::io::Read;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, MAX_READ, Payload, handle_watch};

#[path = "../../sum.rs"]
mod sum;

#[handle_watch(init = Watcher { sum: 0, buffer: vec![0; MAX_READ] })]
struct Watcher {
    sum: u32,
    buffer: Vec<u8>,
}

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        let mut sum = self.sum;
        loop {
            let len = payload.read(&mut self.buffer)?;
            if len == 0 {
                break;
            }
            sum = sum::add(sum, &self.buffer[..len]);
        }
        self.sum = black_box(sum);
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, _key: Key) -> HandlerResult {
        self.sum = 0;
        Ok(())
    }
}
