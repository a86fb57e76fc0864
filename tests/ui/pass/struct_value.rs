//! A struct, and `init` as a value that needs to know its type, through an author's own macro.
#![deny(warnings)]

use inbound_keyvalue::{HandleWatch, handle_watch};

macro_rules! watcher {
    ($name:ident, $init:expr) => {
        #[handle_watch(init = $init)]
        pub struct $name {
            pub limit: u64,
        }

        impl HandleWatch for $name {}
    };
}

watcher!(Limited, if cfg!(windows) { Limited { limit: 1 } } else { 64.into() });

impl From<u64> for Limited {
    fn from(limit: u64) -> Self {
        Self { limit }
    }
}

fn main() {}
