use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::MOST_CAPTURED;

/// The event that a thread handles, and the number of bytes of this attempt's output that the log still takes.
#[derive(Clone, Debug)]
pub(super) struct Current(Arc<Mutex<Attempt>>);

#[derive(Debug)]
struct Attempt {
    key: Arc<str>,
    number: u32,
    room: usize,
    missing: usize,
}

impl Current {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Attempt { key: "".into(), number: 0, room: 0, missing: 0 })))
    }

    pub(super) fn begin(&self, key: &Arc<str>, number: u32) {
        self.with(|now| *now = Attempt { key: Arc::clone(key), number, room: MOST_CAPTURED, missing: 0 });
    }

    /// The key and the number of the attempt, if the log takes this many bytes more. After a line that does not fit, the log takes no
    /// more lines.
    pub(super) fn write(&self, bytes: usize) -> Option<(Arc<str>, u32)> {
        self.with(|now| {
            if now.missing > 0 || bytes > now.room {
                now.missing = now.missing.saturating_add(bytes);
                return None;
            }
            now.room -= bytes;
            Some((Arc::clone(&now.key), now.number))
        })
    }

    /// The number of bytes that the log did not take.
    pub(super) fn missing(&self) -> usize {
        self.with(|now| now.missing)
    }

    fn with<T>(&self, then: impl FnOnce(&mut Attempt) -> T) -> T {
        then(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_takes_no_more_than_the_most_of_one_attempt() {
        let current = Current::new();
        current.begin(&"k".into(), 1);
        assert_eq!(current.write(MOST_CAPTURED - 1), Some(("k".into(), 1)));
        assert_eq!((current.write(2), current.missing()), (None, 2));
        assert_eq!((current.write(1), current.missing()), (None, 3), "nothing comes after a gap");
        current.begin(&"k".into(), 2);
        assert_eq!((current.write(MOST_CAPTURED), current.missing()), (Some(("k".into(), 2)), 0));
    }
}
