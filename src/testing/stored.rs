use std::fmt;

use inbound_keyvalue_host::store::MemoryStore;
use inbound_keyvalue_host::{Change, IntoContent};

/// A bucket of the store behind a [`TestHost`](super::TestHost), for the test to fill and to look into.
///
/// The functions of this type cause no events. [`TestHost::set`](super::TestHost::set) and [`delete`](super::TestHost::delete)
/// do. A refusal that the test has asked for does not affect them.
///
/// ```
/// # use inbound_keyvalue::{HandleWatch, handle_watch};
/// # #[handle_watch]
/// # #[derive(Default)]
/// # struct Quiet;
/// # impl HandleWatch for Quiet {}
/// use inbound_keyvalue::testing::TestHost;
///
/// let host = TestHost::<Quiet>::new();
/// let orders = host.bucket("orders");
/// orders.insert("7", "paid");
/// assert_eq!(orders.text("7").as_deref(), Some("paid"));
/// assert_eq!((orders.get("8"), orders.keys()), (None, vec!["7".to_owned()]));
/// assert!(orders.remove("7") && !orders.remove("7"));
/// ```
#[derive(Clone)]
pub struct StoredBucket {
    store: MemoryStore,
    name: String,
}

impl StoredBucket {
    pub(super) fn new(store: MemoryStore, name: &str) -> Self {
        Self { store, name: name.to_owned() }
    }

    /// Sets a key. The watcher gets no event.
    pub fn insert<C>(&self, key: impl AsRef<str>, content: impl IntoContent<C>) -> &Self {
        self.store.insert(&self.name, key.as_ref(), content);
        self
    }

    /// The content of a key. `None` if it is not set.
    ///
    /// # Panics
    ///
    /// If the content is a file that cannot be read any more.
    #[must_use]
    pub fn get(&self, key: impl AsRef<str>) -> Option<Vec<u8>> {
        let content = self.store.get(&self.name, key.as_ref())?;
        Some(content.read(0, content.len()).expect("the content should be readable"))
    }

    /// The content of a key as text. Bytes that are not UTF-8 become `U+FFFD`. `None` if the key is not set.
    #[must_use]
    pub fn text(&self, key: impl AsRef<str>) -> Option<String> {
        self.get(key).map(|content| String::from_utf8_lossy(&content).into_owned())
    }

    /// Removes a key, and returns whether it was set. The watcher gets no event.
    pub fn remove(&self, key: impl AsRef<str>) -> bool {
        self.store.remove(&self.name, key.as_ref()).is_some()
    }

    /// The keys in their order.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.store.keys(&self.name)
    }
}

impl fmt::Debug for StoredBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBucket").field("name", &self.name).field("keys", &self.keys()).finish_non_exhaustive()
    }
}

/// A change that a watcher made to the store: an entry of [`Outcome::changes`](super::Outcome::changes).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreChange {
    /// The name of the bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The new content of the key. `None` if the key was deleted.
    pub content: Option<Vec<u8>>,
}

impl StoreChange {
    pub(super) fn new(change: inbound_keyvalue_host::StoreChange) -> Self {
        let content = match change.event.change {
            // The content that a guest wrote is always in memory.
            Change::Set(content) => Some(content.read(0, content.len()).unwrap_or_default()),
            Change::Delete => None,
        };
        Self { bucket: change.bucket, key: change.event.key, content }
    }
}
