//! An enum, and `init` as a call.
#![deny(warnings)]

use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, handle_watch};

#[handle_watch(init = Gate::new::<u8, u16>())]
pub enum Gate {
    Open,
    Closed,
}

impl Gate {
    fn new<A, B>() -> Self {
        Self::Closed
    }
}

impl HandleWatch for Gate {
    fn on_delete(&mut self, _bucket: Bucket, _key: Key) -> HandlerResult {
        *self = Self::Open;
        Ok(())
    }
}

fn main() {}
