//! A decorator: a store whose batches fail after their first half.

use std::sync::Arc;

use super::{Answer, Store, StoreError};
use crate::content::Content;

/// Does the first half of each batch on the inner store, and then fails. The draft says that batches are atomic, but an
/// interrupted store may break that promise.
///
/// ```
/// use std::sync::Arc;
/// use inbound_keyvalue_host::Content;
/// use inbound_keyvalue_host::store::{HalfWay, MemoryStore, Store};
///
/// let memory = MemoryStore::new();
/// let pairs = ["a", "b"].map(|key| (key.to_owned(), Content::from("1")));
/// assert!(HalfWay::new(Arc::new(memory.clone())).set_many("orders", pairs.into()).block().is_err());
/// assert_eq!(memory.keys("orders"), ["a"]);
/// ```
#[derive(Clone, Debug)]
pub struct HalfWay {
    store: Arc<dyn Store>,
}

impl HalfWay {
    /// The store, with batches that fail.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }
}

/// Waits for the first half, and then fails.
fn then_fail<T: Send + 'static>(half: Answer<T>, done: usize, of: usize) -> Answer<T> {
    let error = StoreError::Refused(format!("the batch failed after {done} of {of} keys"));
    match half {
        Answer::Now(half) => Answer::Now(half.and(Err(error))),
        Answer::Later(half) => Answer::later(async { half.await.and(Err(error)) }),
    }
}

impl Store for HalfWay {
    fn open(&self, bucket: &str) -> Answer<()> {
        self.store.open(bucket)
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        self.store.get(bucket, key)
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        self.store.set(bucket, key, content)
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        self.store.delete(bucket, key)
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        self.store.exists(bucket, key)
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        self.store.increment(bucket, key, delta)
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        self.store.compare_and_swap(bucket, key, old, new)
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        let half = keys.len() / 2;
        then_fail(self.store.get_many(bucket, &keys[..half]), half, keys.len())
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        self.store.keys(bucket)
    }

    fn set_many(&self, bucket: &str, mut pairs: Vec<(String, Content)>) -> Answer<()> {
        let all = pairs.len();
        pairs.truncate(all / 2);
        let half = pairs.len();
        then_fail(self.store.set_many(bucket, pairs), half, all)
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        let half = keys.len() / 2;
        then_fail(self.store.delete_many(bucket, &keys[..half]), half, keys.len())
    }
}
