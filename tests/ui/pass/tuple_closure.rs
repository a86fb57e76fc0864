//! A tuple struct, and `init` as a closure.
#![deny(warnings)]

use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch(init = || Pair(1, "two".into()),)]
pub struct Pair(pub u8, pub String);

impl HandleWatch for Pair {}

fn main() {}
