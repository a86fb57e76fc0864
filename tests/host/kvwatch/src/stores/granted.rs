//! The buckets that a watcher may use.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use inbound_keyvalue_host::Content;
use inbound_keyvalue_host::store::{Answer, Store, StoreError};

use crate::serve::Denials;

/// A bucket that a watcher may use: `NAME`, or `NAME:ro` to read only (`--allow-bucket`).
///
/// ```
/// use kvwatch::stores::BucketGrant;
///
/// let grant: BucketGrant = "orders:ro".parse()?;
/// assert_eq!((grant.name.as_str(), grant.read_only), ("orders", true));
/// # Ok::<(), kvwatch::stores::BadGrant>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketGrant {
    /// The name of the bucket.
    pub name: String,
    /// Whether the watcher may only read it.
    pub read_only: bool,
}

/// A grant that names no bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no bucket: write NAME, or NAME:ro to read only")]
pub struct BadGrant(String);

impl FromStr for BucketGrant {
    type Err = BadGrant;

    fn from_str(text: &str) -> Result<Self, BadGrant> {
        let (name, read_only) = text.strip_suffix(":ro").map_or((text, false), |name| (name, true));
        if name.is_empty() || name.contains(':') {
            return Err(BadGrant(text.to_owned()));
        }
        Ok(Self { name: name.to_owned(), read_only })
    }
}

impl fmt::Display for BucketGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.read_only { ":ro" } else { "" })
    }
}

/// A store of which only the granted buckets can be used. An error names the flag that grants more.
#[derive(Clone, Debug)]
pub struct Granted {
    store: Arc<dyn Store>,
    /// Whether each granted bucket is read only.
    buckets: Arc<BTreeMap<String, bool>>,
    denials: Arc<Denials>,
}

impl Granted {
    /// Grants the bucket of the events, and the buckets of `grants`. A grant of the event's own bucket can make it read only.
    pub fn new(store: Arc<dyn Store>, event_bucket: &str, grants: &[BucketGrant]) -> Self {
        let mut buckets = BTreeMap::from([(event_bucket.to_owned(), false)]);
        buckets.extend(grants.iter().map(|grant| (grant.name.clone(), grant.read_only)));
        Self { store, buckets: Arc::new(buckets), denials: Arc::default() }
    }

    /// Logs denied buckets through `denials`, which all workers of a watcher share.
    #[must_use]
    pub fn telling(mut self, denials: &Arc<Denials>) -> Self {
        self.denials = Arc::clone(denials);
        self
    }

    fn read<T>(&self, bucket: &str, call: impl FnOnce(&dyn Store) -> Answer<T>) -> Answer<T> {
        if self.buckets.contains_key(bucket) {
            return call(&*self.store);
        }
        self.denials.tell("the watcher may not use this bucket", bucket, &format!("--allow-bucket {bucket}"));
        let reason = format!("this watcher may not use the bucket {bucket:?}: grant it with --allow-bucket {bucket:?}");
        Answer::Now(Err(StoreError::Refused(reason)))
    }

    fn write<T>(&self, bucket: &str, call: impl FnOnce(&dyn Store) -> Answer<T>) -> Answer<T> {
        if self.buckets.get(bucket).is_some_and(|read_only| *read_only) {
            self.denials.tell("the watcher may not write to this bucket", bucket, &format!("--allow-bucket {bucket}"));
            let reason = format!(
                "this watcher may only read the bucket {bucket:?}: remove `:ro` from its --allow-bucket to let it write"
            );
            return Answer::Now(Err(StoreError::Refused(reason)));
        }
        self.read(bucket, call)
    }
}

impl Store for Granted {
    fn open(&self, bucket: &str) -> Answer<()> {
        self.read(bucket, |store| store.open(bucket))
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        self.read(bucket, |store| store.get(bucket, key))
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        self.write(bucket, |store| store.set(bucket, key, content))
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        self.write(bucket, |store| store.delete(bucket, key))
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        self.read(bucket, |store| store.exists(bucket, key))
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        self.write(bucket, |store| store.increment(bucket, key, delta))
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        self.write(bucket, |store| store.compare_and_swap(bucket, key, old, new))
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        self.read(bucket, |store| store.get_many(bucket, keys))
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        self.read(bucket, |store| store.keys(bucket))
    }

    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()> {
        self.write(bucket, |store| store.set_many(bucket, pairs))
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        self.write(bucket, |store| store.delete_many(bucket, keys))
    }
}

#[cfg(test)]
mod tests {
    use inbound_keyvalue_host::store::MemoryStore;

    use super::*;

    #[test]
    fn an_error_names_the_flag_that_grants_more() {
        let grants = ["log".parse().unwrap(), "users:ro".parse().unwrap()];
        let store = Granted::new(Arc::new(MemoryStore::new()), "orders", &grants);
        for bucket in ["orders", "log"] {
            assert_eq!(store.set(bucket, "k", "v".into()).block(), Ok(()), "{bucket}");
        }
        assert_eq!(store.exists("users", "k").block(), Ok(false));
        let refused = store.increment("users", "k", 1).block().unwrap_err().to_string();
        assert!(refused.contains("may only read the bucket \"users\""), "{refused}");
        let refused = store.open("other").block().unwrap_err().to_string();
        assert!(refused.contains("--allow-bucket \"other\""), "{refused}");
    }

    #[test]
    fn the_bucket_of_the_events_can_be_made_read_only() {
        let store = Granted::new(Arc::new(MemoryStore::new()), "orders", &["orders:ro".parse().unwrap()]);
        assert_eq!(store.open("orders").block(), Ok(()));
        assert!(store.set("orders", "k", "v".into()).block().is_err());
    }

    #[test]
    fn a_grant_without_a_bucket_is_refused() {
        for text in ["", ":ro", "a:rw"] {
            let refused = text.parse::<BucketGrant>().unwrap_err().to_string();
            assert!(refused.contains("NAME:ro"), "{refused}");
        }
    }
}
