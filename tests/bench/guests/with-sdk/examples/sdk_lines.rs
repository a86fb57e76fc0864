//! Sums up the lines of the payload, read with `lines` of the standard library.

use core::hint::black_box;
use std::io::BufRead as _;

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
        for line in payload.lines() {
            self.sum = sum::add(self.sum, line?.as_bytes());
        }
        black_box(self.sum);
        Ok(())
    }
}
