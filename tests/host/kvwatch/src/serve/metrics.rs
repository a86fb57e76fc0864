use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The metrics of a served watcher. The loop, the source and the reports share one struct.
///
/// No metric has a label from the store's content, so the number of metrics is fixed.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Events that the source brought.
    pub received: AtomicU64,
    /// Events whose handler returned.
    pub handled: AtomicU64,
    /// Calls of a handler, with every outcome.
    pub attempts: AtomicU64,
    /// Calls of a handler that trapped.
    pub trapped: AtomicU64,
    /// Trapped events that were scheduled again.
    pub retries: AtomicU64,
    /// Events that became dead letters.
    pub dead_letters: AtomicU64,
    /// Failed writes of dead letters. Each is tried again.
    pub dead_letter_failures: AtomicU64,
    /// Events that were given back to the store unhandled.
    pub given_back: AtomicU64,
    /// Acks that the store did not confirm at first. Each is sent again.
    pub ack_failures: AtomicU64,
    /// Events that were skipped because their key is not UTF-8.
    pub skipped_keys: AtomicU64,
    /// Events that were skipped because the value is not a string of Redis, but a list, a hash or something else.
    pub skipped_types: AtomicU64,
    /// Events that were skipped because the watcher itself wrote them.
    pub own_writes: AtomicU64,
    /// Events that were replaced or removed in the store before they were delivered.
    pub gaps: AtomicU64,
    /// Connections to the store after the first one.
    pub reconnects: AtomicU64,
    /// Events in the store that were not delivered yet, at the last check.
    pub lag: AtomicU64,
    /// Events of all processes that the store delivered and that were not acknowledged yet, at the last check.
    pub ack_pending: AtomicU64,
    /// Events in hand: they are queued or running, or wait for a retry or for the confirmation of their ack.
    pub in_hand: AtomicU64,
    /// Events that a worker is handling. An event that waits for a worker is not among them.
    pub running: AtomicU64,
    /// Events in hand that wait for their next attempt. If this comes near to the most events that a process can
    /// have in hand, failing keys take the room of the others.
    pub waiting: AtomicU64,
    /// Whether events may start here.
    pub open: AtomicBool,
    /// The run time of handlers, without the time that the event waited for a worker.
    pub handler_time: Histogram,
}

/// The upper bounds of the buckets of [`Metrics::handler_time`], in microseconds. A last bucket has no bound.
pub const HANDLER_TIME_BOUNDS: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000, 60_000_000];

/// A histogram of durations with fixed buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; HANDLER_TIME_BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = HANDLER_TIME_BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// The number of durations in each bucket (not accumulated), and the sum of all in microseconds.
    #[must_use]
    pub fn read(&self) -> ([u64; HANDLER_TIME_BOUNDS.len() + 1], u64) {
        (std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed)), self.sum.load(Ordering::Relaxed))
    }
}

macro_rules! snapshot {
    ($($name:ident),* $(,)?) => {
        /// The values of [`Metrics`] at one moment. [`Metrics`] documents the fields.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "they are the fields of `Metrics`")]
        pub struct Snapshot {
            $(pub $name: u64,)*
            pub open: bool,
            pub handler_time: [u64; HANDLER_TIME_BOUNDS.len() + 1],
            pub handler_time_sum: u64,
        }

        impl Metrics {
            /// The values now. They are read one after another, so events in between may change the later ones.
            #[must_use]
            pub fn snapshot(&self) -> Snapshot {
                let (handler_time, handler_time_sum) = self.handler_time.read();
                Snapshot {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    open: self.open.load(Ordering::Relaxed),
                    handler_time,
                    handler_time_sum,
                }
            }
        }
    };
}

snapshot!(
    received,
    handled,
    attempts,
    trapped,
    retries,
    dead_letters,
    dead_letter_failures,
    given_back,
    ack_failures,
    skipped_keys,
    skipped_types,
    own_writes,
    gaps,
    reconnects,
    lag,
    ack_pending,
    in_hand,
    running,
    waiting,
);

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds one to a gauge.
pub(crate) fn plus(gauge: &AtomicU64) {
    gauge.fetch_add(1, Ordering::Relaxed);
}

/// Subtracts one from a gauge.
pub(crate) fn minus(gauge: &AtomicU64) {
    gauge.fetch_sub(1, Ordering::Relaxed);
}

/// Sets a gauge.
pub(crate) fn gauge(gauge: &AtomicU64, value: usize) {
    gauge.store(value as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_bucket_that_it_fits_in() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 60_000_000, 60_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        histogram.record(Duration::MAX);
        let (buckets, _) = histogram.read();
        assert_eq!(buckets[..2], [2, 1]);
        assert_eq!(buckets[13..], [1, 2]);
    }

    #[test]
    fn a_snapshot_has_what_was_counted() {
        let metrics = Metrics::default();
        count(&metrics.handled);
        gauge(&metrics.lag, 7);
        assert_eq!(metrics.snapshot(), Snapshot { handled: 1, lag: 7, ..Snapshot::default() });
    }
}
