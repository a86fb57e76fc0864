//! Delivers 100,000 events through a well-behaved host. Count its instructions to see the cost of the host for an event:
//!
//! `cargo build --release -p inbound-keyvalue-host --example events`
//!
//! `valgrind --tool=callgrind target/release/examples/events`

use inbound_keyvalue_host::{Content, Host, Personality, Trap};

const EVENTS: usize = 100_000;

fn main() -> Result<(), Trap> {
    let mut host = Host::new(Personality::default());
    let content = Content::from("a small value");
    for event in 0..EVENTS {
        if event % 2 == 0 {
            let given = host.begin_set(&content);
            let bytes = host.payload_consume_sync(given.payload)?;
            assert!(bytes.is_ok_and(|bytes| bytes.len() == 13));
            host.drop_bucket(given.bucket)?;
        } else {
            let given = host.begin_set(&content);
            if let Ok(stream) = host.payload_consume_async(given.payload)? {
                assert!(host.read(stream, 4096)?.is_ok_and(|(bytes, end)| bytes.len() == 13 && end));
                host.drop_input_stream(stream)?;
            }
            host.drop_bucket(given.bucket)?;
        }
        assert!(host.end().is_empty());
    }
    Ok(())
}
