//! A decorator: a store that refuses calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Answer, Store, StoreCall, StoreError};
use crate::content::Content;

/// Refuses calls on the inner store. A clone shares the refusals, so that a test can keep a clone and change them.
///
/// ```
/// use std::sync::Arc;
/// use inbound_keyvalue_host::store::{MemoryStore, Refusing, Store, StoreCall};
///
/// let store = Refusing::new(Arc::new(MemoryStore::new()));
/// store.refuse_next(StoreCall::Exists, "not now");
/// assert_eq!(store.exists("orders", "count").block().unwrap_err().to_string(), "not now");
/// assert_eq!(store.exists("orders", "count").block(), Ok(false));
/// ```
#[derive(Clone, Debug)]
pub struct Refusing {
    store: Arc<dyn Store>,
    refusals: Arc<Mutex<HashMap<StoreCall, Refusal>>>,
}

#[derive(Debug)]
struct Refusal {
    reason: String,
    once: bool,
}

impl Refusing {
    /// Makes a store that does not refuse anything yet.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, refusals: Arc::default() }
    }

    /// Refuses the next call of a function, with this reason.
    pub fn refuse_next(&self, call: StoreCall, reason: impl Into<String>) {
        self.refuse_with(call, Refusal { reason: reason.into(), once: true });
    }

    /// Refuses every call of a function from now on, with this reason.
    pub fn refuse(&self, call: StoreCall, reason: impl Into<String>) {
        self.refuse_with(call, Refusal { reason: reason.into(), once: false });
    }

    fn refuse_with(&self, call: StoreCall, refusal: Refusal) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).insert(call, refusal);
    }

    fn refusal(&self, call: StoreCall) -> Option<StoreError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let Refusal { reason, once } = refusals.get(&call)?;
        let (error, once) = (StoreError::Refused(reason.clone()), *once);
        if once {
            refusals.remove(&call);
        }
        Some(error)
    }

    fn unless_refused<T>(&self, call: StoreCall, answer: impl FnOnce(&dyn Store) -> Answer<T>) -> Answer<T> {
        match self.refusal(call) {
            Some(error) => Answer::Now(Err(error)),
            None => answer(&*self.store),
        }
    }
}

impl Store for Refusing {
    fn open(&self, bucket: &str) -> Answer<()> {
        self.unless_refused(StoreCall::OpenBucket, |store| store.open(bucket))
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        self.unless_refused(StoreCall::Get, |store| store.get(bucket, key))
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        self.unless_refused(StoreCall::Set, |store| store.set(bucket, key, content))
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        self.unless_refused(StoreCall::Delete, |store| store.delete(bucket, key))
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        self.unless_refused(StoreCall::Exists, |store| store.exists(bucket, key))
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        self.unless_refused(StoreCall::Increment, |store| store.increment(bucket, key, delta))
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        self.unless_refused(StoreCall::CompareAndSwap, |store| store.compare_and_swap(bucket, key, old, new))
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        self.unless_refused(StoreCall::GetMany, |store| store.get_many(bucket, keys))
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        self.unless_refused(StoreCall::GetKeys, |store| store.keys(bucket))
    }

    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()> {
        self.unless_refused(StoreCall::SetMany, |store| store.set_many(bucket, pairs))
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        self.unless_refused(StoreCall::DeleteMany, |store| store.delete_many(bucket, keys))
    }
}
