use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch(init = Watcher::new crate = ::inbound_keyvalue)]
struct Watcher;

impl Watcher {
    fn new() -> Self {
        Self
    }
}

impl HandleWatch for Watcher {}

fn main() {
    Watcher::new();
}
