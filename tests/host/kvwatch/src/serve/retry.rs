use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The number of attempts of a trapped event, and the waits between two attempts.
///
/// The wait doubles from `first` to `longest`. A random part of up to the wait itself is added, so that events that failed
/// together are not tried together again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The number of attempts before an event becomes a dead letter. 0 counts as 1.
    pub attempts: u32,
    /// The wait after the first attempt, without the random part.
    pub first: Duration,
    /// The longest wait, without the random part.
    pub longest: Duration,
}

impl Default for Retry {
    /// 5 attempts; waits of 0.2 s, 0.4 s, 0.8 s and 1.6 s, each with its random part.
    fn default() -> Self {
        Self { attempts: 5, first: Duration::from_millis(200), longest: Duration::from_secs(30) }
    }
}

impl Retry {
    /// The waits of one event, one for each attempt but the last.
    #[must_use]
    pub fn waits(&self) -> Waits {
        Waits(self.builder().with_max_times(self.attempts.saturating_sub(1) as usize).build())
    }

    /// The same waits without an end, for a call that must succeed in the end.
    #[must_use]
    pub fn forever(&self) -> Waits {
        Waits(self.builder().without_max_times().build())
    }

    fn builder(&self) -> ExponentialBuilder {
        ExponentialBuilder::new().with_min_delay(self.first).with_max_delay(self.longest).with_factor(2.0).with_jitter()
    }
}

/// The waits of one event: an iterator of durations.
pub struct Waits(ExponentialBackoff);

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d3_waits_grow_up_to_the_longest_and_end_with_the_attempts() {
        let retry = Retry { attempts: 8, first: Duration::from_millis(100), longest: Duration::from_secs(1) };
        let waits: Vec<Duration> = retry.waits().collect();
        assert_eq!(waits.len(), 7);
        for (index, wait) in waits.iter().enumerate() {
            let base = Duration::from_millis(100 * (1 << index)).min(Duration::from_secs(1));
            assert!((base..=base * 2).contains(wait), "wait {index} is {wait:?}, its base is {base:?}");
        }
    }

    #[test]
    fn d3_waits_differ_between_events() {
        let all: std::collections::HashSet<_> = (0..50).filter_map(|_| Retry::default().waits().next()).collect();
        assert!(all.len() > 25, "{} of 50 differ", all.len());
    }

    #[test]
    fn one_attempt_has_no_wait_and_forever_has_no_end() {
        for attempts in [0, 1] {
            assert_eq!(Retry { attempts, ..Retry::default() }.waits().count(), 0);
        }
        assert_eq!(Retry::default().forever().take(1000).count(), 1000);
    }
}
