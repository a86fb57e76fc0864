use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch(crate = ::kv)]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {}

fn main() {}
