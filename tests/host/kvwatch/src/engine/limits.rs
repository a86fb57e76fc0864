//! Counts what an event uses while it runs, and applies its limits.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use wasmtime::{ResourceLimiter, Result};

/// Counts and limits the memories and the tables of an instance together.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The bytes of linear memory.
    memories: usize,
    /// The bytes of the host's memory that tables take.
    tables: usize,
    /// The last addition to either number, to undo it if the allocation fails.
    granted: (usize, usize),
    limit: Option<usize>,
    refused: bool,
}

impl Memory {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)), ..Self::default() }
    }

    /// Starts an event.
    pub(crate) fn begin(&mut self) {
        self.refused = false;
    }

    /// The bytes of linear memory. It never shrinks, so this is also the peak.
    pub(crate) fn size(&self) -> u64 {
        self.memories as u64
    }

    /// Whether the limit refused something in this event.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, memory: usize, table: usize) -> bool {
        let size = self.memories.saturating_add(self.tables).saturating_add(memory).saturating_add(table);
        let refused = self.limit.is_some_and(|limit| size > limit);
        self.refused |= refused;
        self.granted = if refused { (0, 0) } else { (memory, table) };
        self.memories += self.granted.0;
        self.tables = self.tables.saturating_add(self.granted.1);
        !refused
    }

    fn give_back(&mut self) {
        let (memory, table) = std::mem::take(&mut self.granted);
        self.memories -= memory;
        self.tables = self.tables.saturating_sub(table);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(self.grow(desired.saturating_sub(current), 0))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.give_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        // An entry is a pointer of the host's.
        Ok(self.grow(0, desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.give_back();
        Ok(())
    }
}

/// The time that an event has used. The clock is stopped while the host writes the output of the watcher, because a slow reader
/// of the output is not the watcher's fault.
#[derive(Debug)]
pub(crate) struct Clock {
    limit: Duration,
    made: Instant,
    /// The begin of the event, and the time for which the clock has been stopped since, in nanoseconds.
    begun: AtomicU64,
    stopped: AtomicU64,
}

impl Clock {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, made: Instant::now(), begun: AtomicU64::new(0), stopped: AtomicU64::new(0) }
    }

    /// Starts an event.
    pub(crate) fn begin(&self) {
        self.begun.store(nanos(self.made.elapsed()), Relaxed);
        self.stopped.store(0, Relaxed);
    }

    /// Calls `act` while the clock is stopped.
    pub(crate) fn uncounted<T>(&self, act: impl FnOnce() -> T) -> T {
        let before = Instant::now();
        let result = act();
        self.stopped.fetch_add(nanos(before.elapsed()), Relaxed);
        result
    }

    /// The time that is left. `None` if the event has used it up.
    pub(crate) fn left(&self) -> Option<Duration> {
        let uncounted = self.begun.load(Relaxed).saturating_add(self.stopped.load(Relaxed));
        let used = Duration::from_nanos(nanos(self.made.elapsed()).saturating_sub(uncounted));
        self.limit.checked_sub(used).filter(|left| !left.is_zero())
    }
}

fn nanos(duration: Duration) -> u64 {
    // Enough for 584 years.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
