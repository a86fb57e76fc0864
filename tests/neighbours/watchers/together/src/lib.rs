//! All of these crates in one watcher, and the export of the project `cargo-component`.

#[allow(warnings)]
mod bindings;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

struct Component;

impl bindings::Guest for Component {
    fn hello_world() -> String {
        "Hello, World!".to_string()
    }
}

bindings::export!(Component with_types_in bindings);

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
    [
        rand::random::<[u8; 16]>().to_vec(),
        uuid::Uuid::new_v4().into_bytes().to_vec(),
        wasi::random::random::get_random_bytes(16),
        wasip2::random::random::get_random_bytes(16),
    ]
    .concat()
}
