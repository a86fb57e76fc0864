use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Detects that the loop stood still, because the process was stopped or the machine was suspended.
#[derive(Debug, Default)]
pub(super) struct Lease {
    limit: Option<Duration>,
    last: Mutex<Option<Turn>>,
}

/// A time on both clocks. The monotonic clock does not count the time of a suspended machine, but the wall clock does. If somebody
/// sets the wall clock forward, the lease lapses without need, which does no harm.
#[derive(Clone, Copy, Debug)]
struct Turn {
    time: Instant,
    wall: SystemTime,
}

/// One read of the clocks.
#[derive(Debug)]
pub(super) struct Look {
    now: Option<Turn>,
    /// Whether the last turn of the loop is longer ago than the lease allows.
    pub(super) lapsed: bool,
}

impl Lease {
    /// A lease that begins now. With `None`, it never lapses.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Self { limit, last: Mutex::new(limit.map(|_| Turn::now())) }
    }

    /// A lease whose last turn was at this time of the wall clock, and at the present time of the monotonic clock.
    #[cfg(test)]
    pub(super) fn since(limit: Duration, wall: SystemTime) -> Self {
        Self { limit: Some(limit), last: Mutex::new(Some(Turn { wall, ..Turn::now() })) }
    }

    pub(super) fn look(&self) -> Look {
        let Some(limit) = self.limit else { return Look { now: None, lapsed: false } };
        let now = Turn::now();
        let lapsed = self.last().is_some_and(|last| now.since(&last) > limit);
        Look { now: Some(now), lapsed }
    }

    /// Records a turn of the loop at the time of `look`. If the process is stopped after that, the next look shows it.
    pub(super) fn turned(&self, look: &Look) {
        *self.last() = look.now;
    }

    fn last(&self) -> MutexGuard<'_, Option<Turn>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    fn now() -> Self {
        Self { time: Instant::now(), wall: SystemTime::now() }
    }

    fn since(&self, earlier: &Self) -> Duration {
        let wall = self.wall.duration_since(earlier.wall).unwrap_or_default();
        self.time.saturating_duration_since(earlier.time).max(wall)
    }
}

/// Lets the loop turn often enough for its lease, even if nothing happens.
pub(super) struct Beats(Option<Interval>);

impl Beats {
    pub(super) fn new(lease: Option<Duration>) -> Self {
        Self(lease.map(|lease| {
            // An interval must not be empty.
            let mut beats = tokio::time::interval((lease / 4).max(Duration::from_millis(1)));
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        }))
    }

    pub(super) async fn next(&mut self) {
        match &mut self.0 {
            Some(beats) => _ = beats.tick().await,
            None => std::future::pending().await,
        }
    }
}
