//! The project that `cargo component new --lib` makes, with a watcher beside its export. `bindings.rs` is generated.

#[allow(warnings)]
mod bindings;

use bindings::Guest;
use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

struct Component;

impl Guest for Component {
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
        shared::echo(key, payload, &[])
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        shared::echo_key(key)
    }
}
