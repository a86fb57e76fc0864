//! A watcher that uses WASI through the crate `wasi`.

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

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
    wasi::random::random::get_random_bytes(16)
}
