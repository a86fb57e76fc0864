//! The live line on a terminal: rate, lag and failures.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use kvwatch::serve::Snapshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::run::Served;
use crate::cli::screen::{self, Shown};

const EVERY: Duration = Duration::from_millis(500);

/// The line. It is drawn until this value is dropped.
pub(super) struct Live {
    task: AbortHandle,
    _shown: Shown,
}

impl Live {
    /// Draws the line if standard error is a terminal.
    pub(super) fn start(served: Arc<[Served]>) -> Option<Self> {
        if !screen::is_watched() {
            return None;
        }
        let style =
            ProgressStyle::with_template("{spinner} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new_spinner().with_style(style);
        let shown = screen::show(bar.clone());
        let task = tokio::spawn(draw(bar, served)).abort_handle();
        Some(Self { task, _shown: shown })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn draw(bar: ProgressBar, served: Arc<[Served]>) {
    let (mut before, mut at) = (Total::of(&served), Instant::now());
    loop {
        tokio::time::sleep(EVERY).await;
        let now = Total::of(&served);
        let handled = now.handled.saturating_sub(before.handled);
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown in whole numbers")]
        let rate = handled as f64 / at.elapsed().as_secs_f64();
        bar.set_message(now.line(rate));
        bar.tick();
        (before, at) = (now, Instant::now());
    }
}

/// The sums over all watchers of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    handled: u64,
    lag: u64,
    trapped: u64,
    dead_letters: u64,
    /// Whether one of them works here, and not in another process.
    open: bool,
}

impl Total {
    fn of(served: &[Served]) -> Self {
        served.iter().fold(Self::default(), |total, it| total.with(&it.metrics.snapshot()))
    }

    fn with(self, snapshot: &Snapshot) -> Self {
        Self {
            handled: self.handled + snapshot.handled,
            lag: self.lag + snapshot.lag,
            trapped: self.trapped + snapshot.trapped,
            dead_letters: self.dead_letters + snapshot.dead_letters,
            open: self.open | snapshot.open,
        }
    }

    fn line(&self, rate: f64) -> String {
        let mut line = format!("{rate:.0} events/s, lag {}, {} handled", self.lag, self.handled);
        // Writing to a string cannot fail.
        if self.trapped > 0 {
            let _ = write!(line, ", failed attempts: {}", self.trapped);
        }
        if self.dead_letters > 0 {
            let _ = write!(line, ", dead letters: {}", self.dead_letters);
        }
        if !self.open {
            line.push_str(" (standing by)");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use kvwatch::serve::Metrics;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn the_line_adds_all_watchers_up_and_tells_failures_only_if_there_are_any() {
        let (one, two) = (Metrics::default(), Metrics::default());
        one.handled.store(7, Ordering::Relaxed);
        two.handled.store(5, Ordering::Relaxed);
        one.lag.store(3, Ordering::Relaxed);
        let total = |watchers: &[&Metrics]| watchers.iter().fold(Total::default(), |it, one| it.with(&one.snapshot()));
        assert_eq!(total(&[&one, &two]).line(2.4), "2 events/s, lag 3, 12 handled (standing by)");
        two.open.store(true, Ordering::Relaxed);
        two.trapped.store(4, Ordering::Relaxed);
        one.dead_letters.store(1, Ordering::Relaxed);
        assert_eq!(
            total(&[&one, &two]).line(0.0),
            "0 events/s, lag 3, 12 handled, failed attempts: 4, dead letters: 1"
        );
    }
}
