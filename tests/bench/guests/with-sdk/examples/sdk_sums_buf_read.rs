//! Sums up payloads, read through `BufRead`. A delete resets the sum.

use core::hint::black_box;
use std::io::BufRead;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[path = "../../sum.rs"]
mod sum;

#[handle_watch]
#[derive(Default)]
struct Watcher {
    sum: u32,
}

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        let mut sum = self.sum;
        loop {
            let bytes = payload.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            sum = sum::add(sum, bytes);
            let len = bytes.len();
            payload.consume(len);
        }
        self.sum = black_box(sum);
        Ok(())
    }

    fn on_delete(&mut self, _bucket: Bucket, _key: Key) -> HandlerResult {
        self.sum = 0;
        Ok(())
    }
}
