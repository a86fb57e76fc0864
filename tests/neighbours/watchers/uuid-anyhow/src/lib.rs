//! Identifiers and errors, as many projects have them.

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
    identifier().expect("the host has random numbers")
}

fn identifier() -> anyhow::Result<Vec<u8>> {
    let text = uuid::Uuid::new_v4().to_string();
    Ok(uuid::Uuid::parse_str(&text)?.into_bytes().to_vec())
}
