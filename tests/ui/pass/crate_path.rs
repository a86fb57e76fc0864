//! A dependency by another name, in a function's body.
#![deny(warnings)]

mod facade {
    pub use inbound_keyvalue as sdk;
}

fn main() {
    use facade::sdk::{self, HandleWatch};

    impl HandleWatch for Local {}

    #[sdk::handle_watch(crate = sdk)]
    #[derive(Default)]
    struct Local;
}
