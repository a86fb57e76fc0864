//! Two watchers. The configuration removes one of them.
#![deny(warnings)]

use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
#[cfg(target_pointer_width = "64")]
#[derive(Default)]
struct Watcher;

#[handle_watch]
#[cfg(not(target_pointer_width = "64"))]
#[derive(Default)]
struct Watcher(u32);

impl HandleWatch for Watcher {}

fn main() {}
