//! The changes that a guest makes to the store in an event.

use super::Details;
use crate::events::{Change, Event};

/// A change that the guest made to the store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreChange {
    /// The bucket.
    pub bucket: String,
    /// The change, as the event that a watcher of the bucket would get.
    pub event: Event,
}

/// The changes of an event.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) kept: Vec<StoreChange>,
    kept_bytes: u64,
    pub(super) total: u64,
}

impl Changes {
    /// The most changes that are kept, and the most bytes that they may have.
    const MOST: usize = 4096;
    const MOST_BYTES: u64 = 64 * 1024 * 1024;

    #[inline]
    pub(super) fn begin(&mut self) {
        if self.total > 0 {
            self.forget();
        }
    }

    #[cold]
    fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn note(&mut self, bucket: &str, event: Event, details: Details) {
        self.total += 1;
        let content = if let Change::Set(content) = &event.change { content.len_in_memory() } else { 0 };
        let bytes = (bucket.len() + event.key.len()) as u64 + content;
        let fits = self.kept.len() < Self::MOST && self.kept_bytes.saturating_add(bytes) <= Self::MOST_BYTES;
        if details == Details::Collected && fits {
            self.kept_bytes += bytes;
            self.kept.push(StoreChange { bucket: bucket.to_owned(), event });
        }
    }
}
