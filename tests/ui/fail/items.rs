use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
pub const fn on_set() {}

#[handle_watch]
unsafe trait Watch {}

struct Watcher;

#[handle_watch]
impl HandleWatch for Watcher {}

#[handle_watch]
mod watchers {}

#[handle_watch]
union Bits {
    a: u8,
}

#[handle_watch]
type Alias = Watcher;

// Each item still exists.
#[allow(unused_imports)]
use watchers as _;

fn main() {
    on_set();
    let _ = (Alias {}, Bits { a: 1 });
}

unsafe impl Watch for Watcher {}
