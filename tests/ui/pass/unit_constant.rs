//! A unit struct, and `init` as a path that is the watcher itself.
#![deny(warnings)]

use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch(init = Quiet)]
struct Quiet;

impl HandleWatch for Quiet {}

fn main() {}
