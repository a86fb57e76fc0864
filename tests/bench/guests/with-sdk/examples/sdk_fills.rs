//! Reads the payload as a stream into a large buffer.

use std::io::Read;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[path = "../../take.rs"]
mod take;

/// The size of the buffer.
const BUFFER: usize = 1 << 20;

#[handle_watch(init = Watcher { buffer: vec![0; BUFFER] })]
struct Watcher {
    buffer: Vec<u8>,
}

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, mut payload: Payload) -> HandlerResult {
        loop {
            let mut filled = 0;
            while filled < BUFFER {
                match payload.read(&mut self.buffer[filled..])? {
                    0 => break,
                    read => filled += read,
                }
            }
            take::all(&self.buffer[..filled]);
            if filled < BUFFER {
                return Ok(());
            }
        }
    }
}
