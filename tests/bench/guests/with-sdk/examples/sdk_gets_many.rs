//! Reads the values of ten keys in the store, and adds up their lengths.

use core::hint::black_box;

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {
    fn on_set(&mut self, bucket: Bucket, _key: Key, _payload: Payload) -> HandlerResult {
        let mut bytes = 0;
        for payload in bucket.get_many(&KEYS)? {
            bytes += payload.into_vec()?.len();
        }
        black_box(bytes);
        Ok(())
    }
}

const KEYS: [&str; 10] =
    ["shops/0", "shops/1", "shops/2", "shops/3", "shops/4", "shops/5", "shops/6", "shops/7", "shops/8", "shops/9"];
