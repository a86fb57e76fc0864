//! Remembers the keys that the watcher knows, to find the deletes that Redis does not announce.

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

/// The most memory for the names of keys, in bytes.
const LIMIT: usize = 64 * 1024 * 1024;
/// The approximate memory of an entry besides its text, in bytes.
const ENTRY: usize = 64;

/// The keys that were delivered as set and not yet as deleted. With them, a replay finds the keys that were deleted while kvwatch
/// was not connected, and the keys that `FLUSHDB` deleted.
///
/// Its memory is bounded. A database with more keys is replayed without such deletes.
#[derive(Debug, Default)]
pub(super) struct Known {
    keys: BTreeSet<Arc<str>>,
    /// The keys of an earlier time that this replay has not yet met.
    unseen: BTreeSet<Arc<str>>,
    bytes: usize,
    overflowed: bool,
}

impl Known {
    /// Notes that the watcher gets this key. Returns whether the memory is used up now, for the first time.
    pub(super) fn set(&mut self, key: &Arc<str>) -> bool {
        self.unseen.remove(key);
        if self.overflowed || !self.keys.insert(Arc::clone(key)) {
            return false;
        }
        self.bytes += key.len() + ENTRY;
        self.overflowed = self.bytes > LIMIT;
        if self.overflowed {
            self.keys = BTreeSet::new();
            self.unseen = BTreeSet::new();
        }
        self.overflowed
    }

    /// Notes that the watcher gets a delete of this key. Returns whether it knew the key.
    pub(super) fn gone(&mut self, key: &str) -> bool {
        let unseen = self.unseen.remove(key);
        let known = self.keys.remove(key);
        if known {
            self.bytes -= key.len() + ENTRY;
        }
        known || unseen
    }

    /// Starts a replay. The keys that it does not meet are gone.
    pub(super) fn begin(&mut self) {
        // A replay that was not finished has left keys.
        self.unseen.append(&mut mem::take(&mut self.keys));
        self.bytes = 0;
    }

    /// Some of the keys that the replay has not met. They stay here until [`set`](Self::set) or [`gone`](Self::gone).
    pub(super) fn unseen(&self, count: usize) -> Vec<Arc<str>> {
        self.unseen.iter().take(count).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_finds_the_keys_that_are_gone() {
        let [a, b, c]: [Arc<str>; 3] = ["a".into(), "b".into(), "c".into()];
        let mut known = Known::default();
        for key in [&a, &b, &c] {
            assert!(!known.set(key));
        }
        known.begin();
        known.set(&a);
        assert!(known.gone("c"));
        assert_eq!(known.unseen(10), [b]);
        assert!(known.gone("b"));
        assert!(!known.gone("b"));
        assert!(known.unseen(10).is_empty());
    }

    #[test]
    fn a_replay_that_was_cut_off_forgets_nothing() {
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let mut known = Known::default();
        known.set(&a);
        known.set(&b);
        known.begin();
        known.set(&a);
        known.begin();
        assert_eq!(known.unseen(10), [a, b]);
    }

    #[test]
    fn memory_is_bounded_and_this_is_told_once() {
        let mut known = Known::default();
        let long = "x".repeat(1024 * 1024);
        let told = (0..100).filter(|number| known.set(&format!("{number}{long}").into())).count();
        assert_eq!(told, 1);
        assert!(known.keys.is_empty() && known.unseen(1).is_empty());
    }
}
