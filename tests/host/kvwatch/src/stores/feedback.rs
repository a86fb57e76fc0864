//! A limit for watchers that call themselves through a store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inbound_keyvalue_host::Content;
use inbound_keyvalue_host::store::{Answer, Store, StoreError};
use tokio::time::Instant;

/// The most keys that are remembered.
const MOST_KEYS: usize = 10_000;

/// Limits how often a watcher calls itself, on a store that does not report which client has written a key.
///
/// The depth of an event is 0 if another client caused it. If a handler wrote the key within the period, the depth is 1 more than
/// the depth of that handler's event. A write of a greater depth than the limit is refused. The handler gets
/// [`StoreError::Refused`] with the explanation. If it fails because of that, its event becomes a dead letter with this cause.
///
/// A watcher that writes a key, such as a total, at each event of another client is never refused: these writes have the depth 1.
///
/// One watcher has one `Feedback`: its source asks for the [`depth_of`](Self::depth_of) each event that it delivers, and each worker has a
/// store from [`guard`](Self::guard).
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use std::time::Duration;
/// use kvwatch::stores::Feedback;
/// use kvwatch::world::Content;
/// use kvwatch::world::store::{MemoryStore, Store, StoreError};
///
/// let feedback = Arc::new(Feedback::new("0", 2, Duration::from_secs(10)));
/// let depth = Arc::new(AtomicU32::new(0));
/// let of_event = Arc::clone(&depth);
/// let store = feedback.guard(Arc::new(MemoryStore::new()), move || of_event.load(Ordering::Relaxed));
/// // The handler of the key `loop` sets the key `loop`.
/// let handle = || {
///     depth.store(feedback.depth_of("loop"), Ordering::Relaxed);
///     store.set("0", "loop", Content::from("again")).block()
/// };
/// assert_eq!((handle(), handle()), (Ok(()), Ok(())));
/// assert!(matches!(handle(), Err(StoreError::Refused(_))));
/// ```
#[derive(Debug)]
pub struct Feedback {
    bucket: String,
    limit: u32,
    period: Duration,
    /// Writes that have not come back.
    written: Mutex<HashMap<String, Write>>,
}

#[derive(Clone, Copy, Debug)]
struct Write {
    depth: u32,
    at: Instant,
}

impl Feedback {
    /// Writes to the watched `bucket` come back up to the depth `limit`. A write that has not come back after `period` is forgotten.
    #[must_use]
    pub fn new(bucket: impl Into<String>, limit: u32, period: Duration) -> Self {
        Self { bucket: bucket.into(), limit, period, written: Mutex::default() }
    }

    /// The store for one worker. `depth` returns the depth of the event that the worker handles now.
    pub fn guard(
        self: &Arc<Self>,
        store: Arc<dyn Store>,
        depth: impl Fn() -> u32 + Send + Sync + 'static,
    ) -> Arc<dyn Store> {
        Arc::new(Guard { store, feedback: Arc::clone(self), depth: Box::new(depth) })
    }

    /// The depth of an event of this key that has just arrived. Call this once for each event, in their order. A write comes back
    /// once. The next event of its key is from another client, unless the watcher has written again.
    #[must_use]
    pub fn depth_of(&self, key: &str) -> u32 {
        let written = self.lock().remove(key).filter(|written| written.at.elapsed() < self.period);
        written.map_or(0, |written| written.depth)
    }

    /// Notes the writes of these keys in an event of this depth, or refuses them.
    fn admit<'a>(&self, depth: u32, keys: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
        let depth = depth.saturating_add(1);
        if depth > self.limit {
            return Err(StoreError::Refused(format!(
                "the watcher's own writes have called it {} times in a chain, each within {:?}: this write would go on with it; let \
                 the watcher not write keys that it reacts to",
                self.limit, self.period
            )));
        }
        let mut written = self.lock();
        for key in keys {
            // Of two writes of a key that have not come back, the deeper one counts.
            let before = written.get(key).filter(|before| before.at.elapsed() < self.period);
            let depth = before.map_or(depth, |before| before.depth.max(depth));
            written.insert(key.to_owned(), Write { depth, at: Instant::now() });
        }
        bound(&mut written, self.period);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Write>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets keys if there are too many: first the old ones, then the starts of chains, because a chain is noticed by its depth.
fn bound(written: &mut HashMap<String, Write>, period: Duration) {
    if written.len() > MOST_KEYS {
        written.retain(|_, write| write.at.elapsed() < period);
    }
    if written.len() > MOST_KEYS {
        written.retain(|_, write| write.depth > 1);
    }
    if written.len() > MOST_KEYS {
        written.clear();
    }
}

/// The store of one worker.
struct Guard {
    store: Arc<dyn Store>,
    feedback: Arc<Feedback>,
    depth: Box<dyn Fn() -> u32 + Send + Sync>,
}

impl Guard {
    /// Writes, unless the writes would continue a chain that is too long.
    fn write<'a, T>(
        &self,
        bucket: &str,
        keys: impl Iterator<Item = &'a str>,
        write: impl FnOnce(&dyn Store) -> Answer<T>,
    ) -> Answer<T> {
        // Other buckets are not watched, so their changes do not come back.
        if bucket == self.feedback.bucket
            && let Err(refused) = self.feedback.admit((self.depth)(), keys)
        {
            return Answer::Now(Err(refused));
        }
        write(&*self.store)
    }
}

impl Store for Guard {
    fn open(&self, bucket: &str) -> Answer<()> {
        self.store.open(bucket)
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        self.store.get(bucket, key)
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        self.write(bucket, [key].into_iter(), |store| store.set(bucket, key, content))
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        self.write(bucket, [key].into_iter(), |store| store.delete(bucket, key))
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        self.store.exists(bucket, key)
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        self.write(bucket, [key].into_iter(), |store| store.increment(bucket, key, delta))
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        self.write(bucket, [key].into_iter(), |store| store.compare_and_swap(bucket, key, old, new))
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        self.store.get_many(bucket, keys)
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        self.store.keys(bucket)
    }

    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()> {
        let keys: Vec<String> = pairs.iter().map(|(key, _)| key.clone()).collect();
        self.write(bucket, keys.iter().map(String::as_str), |store| store.set_many(bucket, pairs))
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        self.write(bucket, keys.iter().copied(), |store| store.delete_many(bucket, keys))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("store", &self.store).field("feedback", &self.feedback).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(10);

    /// The handler of an event of `key` writes `written`.
    fn handle(feedback: &Feedback, key: &str, written: &str) -> bool {
        let depth = feedback.depth_of(key);
        feedback.admit(depth, [written].into_iter()).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_ends_at_the_limit_whatever_keys_it_has() {
        for keys in [&["a"][..], &["a", "b"], &["a", "b", "c"]] {
            let feedback = Feedback::new("0", 7, PERIOD);
            let step = |number: usize| handle(&feedback, keys[number % keys.len()], keys[(number + 1) % keys.len()]);
            assert_eq!((0..100).take_while(|number| step(*number)).count(), 7, "{keys:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn totals_and_corrections_are_no_chains() {
        let feedback = Feedback::new("0", 2, PERIOD);
        for number in 0..1000 {
            assert!(handle(&feedback, &format!("order{number}"), "total"));
            // The watcher gets the event of the total, and counts it.
            assert!(handle(&feedback, "total", "heard"));
            assert_eq!(feedback.depth_of("heard"), 2);
            // It corrects a key, and has nothing to correct when it gets that event.
            assert!(handle(&feedback, "corrected", "corrected"));
            assert_eq!(feedback.depth_of("corrected"), 1);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_that_paused_for_the_period_begins_anew() {
        let feedback = Feedback::new("0", 1, PERIOD);
        assert!(handle(&feedback, "a", "a"));
        tokio::time::advance(PERIOD).await;
        assert!(handle(&feedback, "a", "a") && !handle(&feedback, "a", "a"));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_a_chain_is_still_found_among_many_writes() {
        let feedback = Feedback::new("0", 50, PERIOD);
        let mut steps = 0;
        while handle(&feedback, "a", "a") {
            steps += 1;
            for number in 0..1000 {
                let key = format!("{steps} {number}");
                assert!(handle(&feedback, "elsewhere", &key));
            }
            assert!(feedback.lock().len() <= MOST_KEYS + 1);
        }
        assert_eq!(steps, 50);
    }

    #[test]
    fn other_buckets_and_reads_are_free() {
        let feedback = Arc::new(Feedback::new("0", 1, PERIOD));
        let store = Arc::new(inbound_keyvalue_host::store::MemoryStore::new());
        let first = feedback.guard(Arc::clone(&store) as Arc<dyn Store>, || 0);
        assert!(first.increment("0", "a", 1).block().is_ok());
        let guard = feedback.guard(store, || 1);
        let pairs = || vec![("a".to_owned(), Content::from("1"))];
        assert!(guard.set("0", "a", Content::from("1")).block().is_err());
        assert!(guard.set_many("0", pairs()).block().is_err());
        assert!(guard.delete_many("0", &["a"]).block().is_err());
        assert!(guard.increment("0", "a", 1).block().is_err());
        assert!(guard.compare_and_swap("0", "a", 1, 2).block().is_err());
        assert!(guard.delete("0", "a").block().is_err());
        assert!(guard.set_many("1", pairs()).block().is_ok());
        assert!(guard.get("0", "a").block().is_ok());
    }
}
