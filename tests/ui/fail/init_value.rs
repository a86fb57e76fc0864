use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch(init = 7)]
struct Watcher(u64);

impl HandleWatch for Watcher {}

impl Watcher {
    fn with(limit: u64) -> Self {
        Self(limit)
    }
}

fn other() -> u64 {
    Watcher::with(1).0
}

fn main() {
    let _ = other();
}
