//! Opens a bucket, and reads the payload. The key decides whether it is read whole or as a stream.

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
    fn on_set(&mut self, _bucket: Bucket, key: Key, mut payload: Payload) -> HandlerResult {
        let _log = Bucket::open("log")?;
        if key.starts_with("small/") {
            self.sum = black_box(sum::add(self.sum, &payload.into_bytes()?));
            return Ok(());
        }
        loop {
            let bytes = payload.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            self.sum = sum::add(self.sum, bytes);
            let len = bytes.len();
            payload.consume(len);
        }
        black_box(self.sum);
        Ok(())
    }
}
