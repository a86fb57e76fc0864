//! Gives events to a watcher, from wherever they come, and has each reported.

use std::io::BufRead;

use kvwatch::world::{Event, Events, Problem};
use kvwatch::{MemoryStore, Outcome, Watched, Watcher};

use super::Result;
use super::report::{Report, operation};
use super::stats::Stats;
use super::watch::Watch;

/// A store, its watcher, and what has come of it so far.
pub(crate) struct Runner {
    store: Watched,
    report: Box<dyn Report>,
    stats: Stats,
    strict: bool,
}

impl Runner {
    pub(crate) fn new(store: Watched, report: Box<dyn Report>, strict: bool) -> Self {
        Self { store, report, stats: Stats::default(), strict }
    }

    /// Applies an event.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<Outcome> {
        let outcome = self.store.apply(event);
        self.stats.count(operation(event), &outcome);
        self.report.event(self.stats.all_events(), event, &outcome)?;
        Ok(outcome)
    }

    /// Applies events to their end, or to where they cannot be read further: `false` is the latter. Between two of them, it goes
    /// on with the watcher that `watch` has made anew.
    pub(crate) fn replay(&mut self, source: &str, lines: impl BufRead, watch: Option<&Watch>) -> Result<bool> {
        for event in Events::new(lines) {
            if let Some(watcher) = watch.and_then(Watch::ready) {
                self.reload(watcher);
            }
            match event {
                Ok(event) => _ = self.apply(&event)?,
                Err(bad) => {
                    self.stats.bad_lines += 1;
                    // What cannot be read now cannot be read later.
                    let end = self.strict || matches!(bad.problem, Problem::Io(_));
                    self.report.bad_line(source, &bad, end)?;
                    if end {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Goes on with another watcher, and with what the store has.
    pub(crate) fn reload(&mut self, watcher: Watcher) {
        self.store.session_mut().replace(watcher);
    }

    pub(crate) fn store(&self) -> &MemoryStore {
        self.store.store()
    }

    pub(crate) fn watcher_name(&self) -> &str {
        self.store.session().watcher().name()
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Tells what has come of the events since the last time, and starts to count anew.
    pub(crate) fn summary(&mut self) -> Result<Stats> {
        self.report.summary(&self.stats)?;
        Ok(std::mem::take(&mut self.stats))
    }
}
