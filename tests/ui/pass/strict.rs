//! The attribute under every lint that could see its code, in a module, with attributes on both sides.
#![deny(warnings, missing_docs, unsafe_code, unreachable_pub, unused_qualifications, non_local_definitions)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery, clippy::missing_docs_in_private_items)]
#![forbid(missing_debug_implementations, unused_results, single_use_lifetimes, let_underscore_drop)]

/// The watchers.
mod watchers {
    use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, handle_watch};

    /// Counts deletes.
    #[derive(Debug)]
    #[handle_watch]
    #[derive(Clone, Default)]
    #[allow(clippy::module_name_repetitions)]
    pub(super) struct Watcher {
        /// The number of deletes.
        deletes: u64,
    }

    impl HandleWatch for Watcher {
        fn on_delete(&mut self, _bucket: Bucket, _key: Key) -> HandlerResult {
            self.deletes += 1;
            Ok(())
        }
    }
}

fn main() {}
