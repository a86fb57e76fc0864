use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
#[derive(Default)]
struct First;

mod elsewhere {
    #[super::handle_watch]
    #[derive(Default)]
    pub struct Second;
}

impl HandleWatch for First {}
impl HandleWatch for elsewhere::Second {}

fn main() {}
