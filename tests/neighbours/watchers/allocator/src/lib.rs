//! A watcher with its own allocator, which frees only memory that it has allocated.

mod tagged;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[global_allocator]
static ALLOCATOR: tagged::Tagged = tagged::Tagged;

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        shared::echo(key, payload, &neighbour())
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        shared::echo_key(key)
    }
}

fn neighbour() -> Vec<u8> {
    Vec::new()
}
