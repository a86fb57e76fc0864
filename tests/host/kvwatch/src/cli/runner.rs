//! Gives events to a watcher, from wherever they come, and has each reported.

use kvwatch::sources::{Fate, Item, Source};
use kvwatch::world::{Content, Event, Problem};
use kvwatch::{Outcome, Watched, Watcher};

use super::Result;
use super::guest;
use super::report::{Report, operation};
use super::signals::Signals;
use super::stats::Stats;
use super::watch::Watch;

/// A store, its watcher, and what has come of it so far.
pub(crate) struct Runner {
    store: Watched,
    report: Box<dyn Report>,
    stats: Stats,
    strict: bool,
    signals: Option<Signals>,
}

impl Runner {
    pub(crate) fn new(store: Watched, report: Box<dyn Report>, strict: bool) -> Self {
        Self { store, report, stats: Stats::default(), strict, signals: None }
    }

    /// Ends a replay after the event in hand when a signal comes.
    pub(crate) fn end_with(&mut self, signals: Signals) {
        self.signals = Some(signals);
    }

    /// Whether a signal has come.
    fn is_stopped(&self) -> bool {
        self.signals.as_ref().is_some_and(|signals| signals.code().is_some())
    }

    /// Makes a fresh instance for the next event.
    pub(crate) fn renew(&mut self) {
        self.store.session_mut().renew();
    }

    /// Applies an event.
    pub(crate) fn apply(&mut self, event: &Event) -> Result<Outcome> {
        let outcome = self.store.apply(event);
        self.stats.count(operation(event), &outcome);
        self.report.event(self.stats.all_events(), event, &outcome)?;
        guest::output_failure()?;
        Ok(outcome)
    }

    /// Applies events to their end, or to where they cannot be read further: `false` is the latter. Between two of them, it goes
    /// on with the watcher that `watch` has made anew.
    pub(crate) fn replay(&mut self, source: &mut dyn Source, watch: Option<&Watch>) -> Result<bool> {
        while !self.is_stopped() {
            let item = source.next();
            // A source that waited may have been interrupted.
            if self.is_stopped() {
                break;
            }
            if let Some(watcher) = watch.and_then(Watch::ready) {
                self.reload(watcher);
            }
            match item {
                Item::Event(delivery) => {
                    let outcome = self.apply(&delivery.event)?;
                    delivery.end(if outcome.is_handled() { Fate::Handled } else { Fate::Failed });
                }
                Item::Warning(message) => self.report.warning(&message)?,
                Item::Bad(bad) => {
                    self.stats.bad_lines += 1;
                    // What cannot be read now cannot be read later.
                    let end = self.strict || matches!(bad.problem, Problem::Io(_));
                    self.report.bad_line(source.name(), &bad, end)?;
                    if end {
                        return Ok(false);
                    }
                }
                _ => break,
            }
        }
        Ok(true)
    }

    /// Goes on with another watcher, and with what the store has.
    pub(crate) fn reload(&mut self, watcher: Watcher) {
        self.store.session_mut().replace(watcher);
    }

    /// The keys of the watched bucket in their order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.store.store().keys(self.store.bucket())
    }

    /// The keys of the watched bucket in their order, with their contents.
    pub(crate) fn entries(&self) -> Vec<(String, Content)> {
        self.store.store().entries(self.store.bucket())
    }

    /// The content of a key of the watched bucket.
    pub(crate) fn get(&self, key: &str) -> Option<Content> {
        self.store.store().get(self.store.bucket(), key)
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
