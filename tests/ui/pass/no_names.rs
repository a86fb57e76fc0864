//! A scope in which no name has its usual meaning.
#![no_implicit_prelude]
#![deny(warnings)]
#![allow(dead_code, non_camel_case_types)]

mod core {}
mod std {}
mod inbound_keyvalue {}
mod bindings {}

struct Box;
struct Default;
struct Export;
struct Option;
struct Registered;
struct Result;
struct Slot;
struct Start;
struct String;

impl Export {
    fn make() -> SLOT {
        SLOT
    }
}

#[::inbound_keyvalue::handle_watch(init = Export::make())]
struct SLOT;

impl ::inbound_keyvalue::HandleWatch for SLOT {}

fn main() {}
