use inbound_keyvalue::handle_watch;

#[handle_watch]
#[derive(Default)]
struct Watcher;

fn main() {}
