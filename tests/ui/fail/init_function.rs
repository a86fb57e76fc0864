use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch(init = Watcher::new)]
struct Watcher(u64);

impl HandleWatch for Watcher {}

impl Watcher {
    fn new() -> Self {
        Self(1)
    }
}

fn main() {
    let _ = Watcher::new().0;
}
