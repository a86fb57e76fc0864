//! Delivers the events of a source to a watcher, and reports each event.

use std::convert::Infallible;

use kvwatch::sources::{Delivery, Fate, Item, Source};
use kvwatch::world::{Content, Event, Problem};
use kvwatch::{Outcome, Watched, Watcher};

use super::Result;
use super::feed::Feed;
use super::report::{Report, operation};
use super::signals::Signals;
use super::stats::Stats;
use super::store_file::StoreFile;
use super::style;
use super::watch::Watch;

/// A store, its watcher, and the figures of the events so far.
pub(crate) struct Runner {
    store: Watched,
    report: Box<dyn Report>,
    stats: Stats,
    strict: bool,
    signals: Option<Signals>,
    /// The last round in which the watcher's changes come back to it.
    feed: u32,
    file: Option<StoreFile>,
    /// Whether an event came since the store was saved.
    unsaved: bool,
}

impl Runner {
    pub(crate) fn new(store: Watched, report: Box<dyn Report>, strict: bool) -> Self {
        let stats = Stats::default();
        Self { store, report, stats, strict, signals: None, feed: 0, file: None, unsaved: false }
    }

    /// Delivers the watcher's own changes of the watched bucket to it as events, up to the round `depth`.
    pub(crate) fn feed(&mut self, depth: u32) {
        self.feed = depth;
    }

    /// Saves the store in this file.
    pub(crate) fn save_in(&mut self, file: StoreFile) {
        self.file = Some(file);
    }

    /// Saves the store, if it has a file and an event came since the last time.
    pub(crate) fn save(&mut self) -> Result<()> {
        if let (Some(file), true) = (&mut self.file, self.unsaved) {
            file.save(self.store.store(), self.store.bucket())?;
            self.unsaved = false;
        }
        Ok(())
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

    /// Applies an event of a source, and reports its result to the source.
    pub(crate) fn deliver(&mut self, delivery: Delivery) -> Result<Outcome> {
        let outcome = self.apply(&delivery.event)?;
        delivery.end(if outcome.is_handled() { Fate::Handled } else { Fate::Failed });
        Ok(outcome)
    }

    fn apply(&mut self, event: &Event) -> Result<Outcome> {
        self.unsaved = true;
        let outcome = self.store.apply(event);
        self.count(0, event, &outcome)?;
        if self.feed > 0 && outcome.change_count > 0 {
            self.feed_back(&outcome)?;
        }
        Ok(outcome)
    }

    /// Delivers the watcher's changes of the watched bucket to it.
    fn feed_back(&mut self, outcome: &Outcome) -> Result<()> {
        let mut feed = Feed::new(self.feed);
        feed.add(0, self.store.bucket(), outcome);
        while !self.is_stopped() {
            let Some((round, event)) = feed.next() else { break };
            // The store has the change already, and may have a newer one.
            let outcome = self.store.session_mut().event(&event);
            self.count(round, &event, &outcome)?;
            feed.add(round, self.store.bucket(), &outcome);
        }
        if let Some(message) = feed.stopped(self.store.bucket()) {
            self.report.warning(&message)?;
        }
        Ok(())
    }

    fn count(&mut self, round: u32, event: &Event, outcome: &Outcome) -> Result<()> {
        self.stats.count(operation(event), outcome);
        self.report.event(self.stats.all_events(), round, event, outcome)?;
        style::check_stdout()?;
        Ok(())
    }

    /// Applies all events of a source. Returns `false` if the source cannot be read to its end. Between two events, it changes to
    /// the newest watcher that `watch` has built. All output of the events is written when it returns.
    pub(crate) fn replay(
        &mut self,
        source: &mut dyn Source<Request = Infallible>,
        watch: Option<&Watch>,
    ) -> Result<bool> {
        let complete = self.apply_all(source, watch)?;
        style::flush()?;
        Ok(complete)
    }

    fn apply_all(&mut self, source: &mut dyn Source<Request = Infallible>, watch: Option<&Watch>) -> Result<bool> {
        while !self.is_stopped() {
            let item = source.next();
            // A signal may have come while the source waited.
            if self.is_stopped() {
                break;
            }
            if let Some(watcher) = watch.and_then(Watch::ready) {
                self.reload(watcher);
            }
            match item {
                Item::Event(delivery) => drop(self.deliver(delivery)?),
                Item::Warning(message) => self.report.warning(&message)?,
                Item::Bad(bad) => {
                    self.stats.bad_lines += 1;
                    // After an error of the file, the lines that follow cannot be read either.
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

    /// Changes to another watcher. The store does not change.
    pub(crate) fn reload(&mut self, watcher: Watcher) {
        self.store.session_mut().replace(watcher);
    }

    /// The keys of the watched bucket in their order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.store.store().keys(self.store.bucket())
    }

    /// The keys of a bucket in their order, with their contents. `None` is the watched bucket.
    pub(crate) fn entries(&self, bucket: Option<&str>) -> Vec<(String, Content)> {
        self.store.store().entries(bucket.unwrap_or(self.store.bucket()))
    }

    /// The content of a key of a bucket. `None` is the watched bucket.
    pub(crate) fn get(&self, key: &str, bucket: Option<&str>) -> Option<Content> {
        self.store.store().get(bucket.unwrap_or(self.store.bucket()), key)
    }

    /// The names of the other buckets that have keys.
    pub(crate) fn other_buckets(&self) -> Vec<String> {
        let mut buckets = self.store.store().buckets();
        buckets.retain(|bucket| bucket != self.store.bucket());
        buckets
    }

    pub(crate) fn watcher_name(&self) -> &str {
        self.store.session().watcher().name()
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Reports the figures of the events since the last summary, and starts new figures.
    pub(crate) fn summary(&mut self) -> Result<Stats> {
        self.report.summary(&self.stats)?;
        style::flush()?;
        Ok(std::mem::take(&mut self.stats))
    }
}
