use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
struct Watcher {
    seen: u64,
}

impl HandleWatch for Watcher {}

fn main() {
    let _ = Watcher { seen: 1 }.seen;
}
