use inbound_keyvalue::{HandleWatch, handle_watch};

macro_rules! watchers {
    ($($(#[$attribute:meta])* $name:ident,)*) => {
        $($(#[$attribute])* struct $name; impl HandleWatch for $name {})*
    };
}

watchers! {
    #[handle_watch(name = "audit")] Unknown,
    #[handle_watch(Audit::new)] Unnamed,
    #[handle_watch("audit")] Text,
    #[handle_watch(init)] Bare,
    #[handle_watch(init(Audit::new))] Called,
    #[handle_watch(init = )] Empty,
    #[handle_watch(init = Twice, init = Twice)] Twice,
    #[handle_watch(crate = "::kv::sdk")] Quoted,
    #[handle_watch(crate = 1 + 1)] Sum,
    #[handle_watch(int = Many, crat = ::inbound_keyvalue)] Many,
}

fn main() {}
