//! Random numbers, errors and identifiers in one watcher, with a test on the author's own machine.

use anyhow::Context;
use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

/// Writes the payload, and then an identifier with random bytes.
#[handle_watch]
#[derive(Default)]
pub struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
        shared::echo(key, payload, &identifier()?)
    }

    fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
        // The delete of an event about an identifier has to name one.
        if let Some(text) = key.strip_prefix("identifiers/") {
            uuid::Uuid::parse_str(text).with_context(|| format!("{text:?} is no identifier"))?;
        }
        shared::echo_key(key)
    }
}

fn identifier() -> anyhow::Result<Vec<u8>> {
    let text = uuid::Uuid::new_v4().to_string();
    let mut bytes = uuid::Uuid::parse_str(&text).context("an identifier is not read back")?.into_bytes().to_vec();
    bytes.extend(rand::random::<[u8; 16]>());
    Ok(bytes)
}
