//! A store in memory.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Answer, Store, StoreError, number};
use crate::content::{Content, IntoContent};

/// A store in memory. Each of its functions is atomic. A clone shares the contents.
///
/// The store has a bucket for every name. It keeps at most 1 GiB of keys and contents, because a guest can write for ever.
/// [`with_limit`](Self::with_limit) sets another limit.
///
/// ```
/// use inbound_keyvalue_host::store::{MemoryStore, Store};
///
/// let store = MemoryStore::new();
/// store.insert("orders", "count", "41");
/// assert_eq!(store.increment("orders", "count", 1).block(), Ok(42));
/// assert_eq!(store.get("orders", "count").unwrap().read(0, 9)?, b"42");
/// assert_eq!(store.keys("orders"), ["count"]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Mutex<Contents>>,
}

#[derive(Debug)]
struct Contents {
    buckets: BTreeMap<String, BTreeMap<String, Content>>,
    bytes: u64,
    limit: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_limit(1 << 30)
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that keeps at most `bytes` of keys and contents for its guests.
    #[must_use]
    pub fn with_limit(bytes: u64) -> Self {
        let contents = Contents { buckets: BTreeMap::new(), bytes: 0, limit: bytes };
        Self { shared: Arc::new(Mutex::new(contents)) }
    }

    /// Sets a key, and returns its old content. The limit applies to guests only.
    pub fn insert<F>(&self, bucket: &str, key: &str, content: impl IntoContent<F>) -> Option<Content> {
        self.lock().replace(bucket, key, content.into_content())
    }

    /// The content of a key.
    #[must_use]
    pub fn get(&self, bucket: &str, key: &str) -> Option<Content> {
        self.lock().buckets.get(bucket)?.get(key).cloned()
    }

    /// Deletes a key, and returns its content.
    #[allow(clippy::must_use_candidate, reason = "most callers only want the key to be gone")]
    pub fn remove(&self, bucket: &str, key: &str) -> Option<Content> {
        self.lock().take(bucket, key)
    }

    /// The keys of a bucket in their order.
    #[must_use]
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.lock().buckets.get(bucket).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// The keys of a bucket in their order, with their contents.
    #[must_use]
    pub fn entries(&self, bucket: &str) -> Vec<(String, Content)> {
        let entries = |keys: &BTreeMap<String, Content>| keys.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        self.lock().buckets.get(bucket).map(entries).unwrap_or_default()
    }

    /// The names of the buckets that have keys.
    #[must_use]
    pub fn buckets(&self) -> Vec<String> {
        self.lock().buckets.keys().cloned().collect()
    }

    /// The number of keys in a bucket.
    #[must_use]
    pub fn len(&self, bucket: &str) -> usize {
        self.lock().buckets.get(bucket).map_or(0, BTreeMap::len)
    }

    /// Whether no bucket has a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().buckets.is_empty()
    }

    /// A panic elsewhere leaves the contents whole: every change is one insertion or one removal.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn find(&self, bucket: &str, key: &str) -> Result<&Content, StoreError> {
        let found = self.buckets.get(bucket).and_then(|keys| keys.get(key));
        found.ok_or_else(|| StoreError::NoKey(key.to_owned()))
    }

    /// The number under a key.
    fn number(&self, bucket: &str, key: &str) -> Result<u64, StoreError> {
        /// The length of the longest number.
        const DIGITS: u64 = 20;
        let content = self.find(bucket, key)?;
        let bytes = if content.len() <= DIGITS { content.read(0, DIGITS).ok() } else { None };
        bytes.and_then(|bytes| number(&bytes)).ok_or_else(|| StoreError::NotANumber(key.to_owned()))
    }

    fn replace(&mut self, bucket: &str, key: &str, content: Content) -> Option<Content> {
        self.bytes += size(key, &content);
        let Some(keys) = self.buckets.get_mut(bucket) else {
            self.buckets.insert(bucket.to_owned(), BTreeMap::from([(key.to_owned(), content)]));
            return None;
        };
        let Some(present) = keys.get_mut(key) else {
            keys.insert(key.to_owned(), content);
            return None;
        };
        let before = mem::replace(present, content);
        self.bytes -= size(key, &before);
        Some(before)
    }

    fn take(&mut self, bucket: &str, key: &str) -> Option<Content> {
        let keys = self.buckets.get_mut(bucket)?;
        let content = keys.remove(key)?;
        if keys.is_empty() {
            self.buckets.remove(bucket);
        }
        self.bytes -= size(key, &content);
        Some(content)
    }

    /// Fails if the pairs do not fit into the store. The contents that they replace are not subtracted, so the check does not
    /// depend on the order of the pairs.
    fn admit<'a>(&self, pairs: impl Iterator<Item = (&'a str, &'a Content)>) -> Result<(), StoreError> {
        let more = pairs.map(|(key, content)| size(key, content)).fold(0, u64::saturating_add);
        if self.bytes.saturating_add(more) <= self.limit {
            return Ok(());
        }
        Err(StoreError::Full(format!("the store in memory keeps at most {} bytes", self.limit)))
    }
}

/// The approximate number of bytes that an entry takes. It has a node of a tree and two allocations besides its own bytes.
fn size(key: &str, content: &Content) -> u64 {
    const ENTRY: u64 = 128;
    content.len_in_memory().saturating_add(key.len() as u64 + ENTRY)
}

impl Store for MemoryStore {
    fn open(&self, _bucket: &str) -> Answer<()> {
        Answer::Now(Ok(()))
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        Answer::Now(self.lock().find(bucket, key).cloned())
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        self.set_many(bucket, vec![(key.to_owned(), content)])
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        Answer::Now(self.remove(bucket, key).map(drop).ok_or_else(|| StoreError::NoKey(key.to_owned())))
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        Answer::Now(Ok(self.lock().find(bucket, key).is_ok()))
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        let mut contents = self.lock();
        let before = match contents.number(bucket, key) {
            Err(StoreError::NoKey(_)) => Ok(0),
            before => before,
        };
        let sum =
            before.and_then(|before| before.checked_add(delta).ok_or_else(|| StoreError::Overflow(key.to_owned())));
        Answer::Now(sum.and_then(|sum| {
            let content = Content::from(sum.to_string());
            contents.admit([(key, &content)].into_iter())?;
            contents.replace(bucket, key, content);
            Ok(sum)
        }))
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        let mut contents = self.lock();
        Answer::Now(contents.number(bucket, key).map(|before| {
            if before == old {
                contents.replace(bucket, key, Content::from(new.to_string()));
            }
            before == old
        }))
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        let contents = self.lock();
        Answer::Now(keys.iter().map(|key| contents.find(bucket, key).cloned()).collect())
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        Answer::Now(Ok(Self::keys(self, bucket)))
    }

    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()> {
        let mut contents = self.lock();
        Answer::Now(contents.admit(pairs.iter().map(|(key, content)| (&**key, content))).map(|()| {
            for (key, content) in pairs {
                contents.replace(bucket, &key, content);
            }
        }))
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        let mut contents = self.lock();
        for key in keys {
            contents.take(bucket, key);
        }
        Answer::Now(Ok(()))
    }
}
