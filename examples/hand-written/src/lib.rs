//! The smallest watcher, on the SDK's generated layer alone. It has bare handles, and keeps every rule of their ownership by
//! hand.
//!
//! Read it if you need a call that the wrapper lacks, or to measure the cost of the wrapper.

/// The line that is printed for a set. The generated layer exists on wasm only, so a native test can reach only this function.
#[cfg(any(target_family = "wasm", test))]
fn describe(key: &str, value: &[u8]) -> String {
    format!("set {key:?} to {} bytes", value.len())
}

#[cfg(target_family = "wasm")]
mod component {
    use inbound_keyvalue::bindings;
    use inbound_keyvalue::bindings::exports::wasi::keyvalue::handle_watch::Guest;
    use inbound_keyvalue::bindings::wasi::keyvalue::types;

    struct Component;

    impl Guest for Component {
        fn on_set(bucket: u32, key: String, payload: u32) {
            // A handler owns the handles that it receives.
            types::drop_bucket(bucket);
            // The handle of the payload is gone after this call, even if the call fails. So there is no `drop-payload`.
            match types::payload_consume_sync(payload) {
                Ok(value) => println!("{}", super::describe(&key, &value)),
                Err(error) => {
                    let trace = types::trace(error);
                    types::drop_error(error);
                    // A handler has no result. Only a trap tells the host that it failed.
                    panic!("{key:?} cannot be read: {trace}");
                }
            }
        }

        fn on_delete(bucket: u32, key: String) {
            types::drop_bucket(bucket);
            println!("delete {key:?}");
        }
    }

    bindings::export!(Component with_types_in bindings);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use inbound_keyvalue::testing::{Change, Event};

    use super::describe;

    #[test]
    fn describes_the_recorded_events() {
        let recorded = fs::read_to_string("events.jsonl").unwrap();
        let mut described = Vec::new();
        for line in recorded.lines() {
            let event: Event = line.parse().unwrap();
            if let Change::Set(content) = event.change {
                described.push(describe(&event.key, &content.read(0, content.len()).unwrap()));
            }
        }
        assert_eq!(described, [r#"set "users/ada" to 12 bytes"#, r#"set "avatars/ada" to 8 bytes"#]);
    }
}
