//! Reads the payload as JSON.

use core::hint::black_box;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
use serde::Deserialize;

#[derive(Deserialize)]
struct User {
    name: String,
    age: u32,
}

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
        let user: User = payload.into_json()?;
        black_box(user.name.len() + user.age as usize);
        Ok(())
    }
}
