//! Ignores every event.

use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
#[derive(Default)]
struct Watcher;

impl HandleWatch for Watcher {}
