use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Cause;
use super::attempt::{Finished, work};
use super::dead_letters::{DeadLetters, Letter};
use super::event::{Escaped, Event, Position};
use super::handler::{Handler, Outcome};
use super::lease::{Beats, Lease};
use super::metrics::{Metrics, count, gauge};
use super::permit::{Issued, Terms};
use super::retry::Retry;
use super::schedule::{Schedule, Start, Trapped};
use super::source::{Acked, BoxFuture, Signal, Source};
use crate::units::millis;

/// The settings of a delivery.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The most events that are handled at the same time. 0 counts as 1.
    pub workers: usize,
    /// The attempts of a trapped event, and the waits between them.
    pub retry: Retry,
    /// If an event was delivered more often than this, and was the lowest pending event at a takeover, it becomes a dead letter: it
    /// has probably killed the process each time. Less than 3 counts as 3.
    pub most_deliveries: u64,
    /// The longest time that running handlers have to finish at a shutdown.
    pub grace: Duration,
    /// The largest [`Event::depth`]. A deeper event becomes a dead letter. `None` if there is no limit.
    pub deepest: Option<u32>,
}

impl Default for Settings {
    /// One worker, 5 attempts, 5 deliveries, 10 s of grace.
    fn default() -> Self {
        Self { workers: 1, retry: Retry::default(), most_deliveries: 5, grace: Duration::from_secs(10), deepest: None }
    }
}

impl Settings {
    /// The default settings with another number of workers.
    #[must_use]
    pub fn with_workers(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }
}

/// The result of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The number of events that went back to the store, because they had not finished.
    pub given_back: usize,
    /// The number of these events that still ran when the grace time was over. Their handlers were cancelled.
    pub unfinished: usize,
}

/// Delivers the events of a source to workers until `stop` is finished, and then shuts down in order (D6).
///
/// `new_worker` is called at the start, once for each worker and [`Handler::AHEAD`] times more, and again after a handler panicked.
///
/// # Errors
///
/// The error of the source, after an orderly shutdown.
///
/// ```no_run
/// # use kvwatch::serve::{deliver, Cause, DeadLetterFile, Event, Metrics, Outcome, Settings, Source};
/// # use std::sync::Arc;
/// # async fn example(mut source: impl Source) -> Result<(), Cause> {
/// let new_worker = || |event: &Event, _attempt: u32| {
///     println!("{:?}", event.key);
///     async { Outcome::Handled }
/// };
/// let letters = Arc::new(DeadLetterFile::open("dead.jsonl")?);
/// let stop = async { std::future::pending().await };
/// deliver(&mut source, new_worker, &Settings::default(), letters, Arc::new(Metrics::default()), stop).await?;
/// # Ok(())
/// # }
/// ```
pub async fn deliver<S: Source, H: Handler>(
    source: &mut S,
    new_worker: impl FnMut() -> H,
    settings: &Settings,
    letters: Arc<dyn DeadLetters>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) -> Result<Summary, Cause> {
    let handlers = settings.workers.max(1).saturating_add(H::AHEAD);
    metrics.open.store(true, Ordering::Relaxed);
    let lease = Lease::new(source.lease());
    let delivery = Delivery {
        beats: Beats::new(source.lease()),
        source,
        new_worker,
        schedule: Schedule::new(settings.retry, settings.most_deliveries),
        retry: settings.retry,
        deepest: settings.deepest,
        letters,
        terms: Arc::new(Terms { metrics: Arc::clone(&metrics), lease }),
        metrics,
        idle: Vec::with_capacity(handlers),
        running: FuturesUnordered::new(),
        started: HashMap::new(),
        endings: FuturesUnordered::new(),
        draining: false,
    };
    delivery.run(handlers, settings.grace, stop).await
}

/// The state of the loop. Only the loop's task touches it.
struct Delivery<'a, S, H, N> {
    source: &'a mut S,
    new_worker: N,
    schedule: Schedule,
    retry: Retry,
    deepest: Option<u32>,
    letters: Arc<dyn DeadLetters>,
    metrics: Arc<Metrics>,
    terms: Arc<Terms>,
    /// It is made once, because a new timer in each turn would cost more than the turn.
    beats: Beats,
    idle: Vec<H>,
    /// The loop itself polls these futures. A task for each would wake another thread of the runtime for each event.
    running: FuturesUnordered<BoxFuture<'static, Finished<H>>>,
    /// The events that a handler has, without those that were taken back. They have begun, or they wait for a worker.
    started: HashMap<Position, Issued>,
    endings: FuturesUnordered<BoxFuture<'static, Ending>>,
    draining: bool,
}

/// A finished step of the end of an event.
enum Ending {
    /// Its dead letter is written. Only now may its ack begin: until then the source must keep the event alive.
    Buried(Position),
    Acked(Position, Acked),
}

impl<S: Source, H: Handler, N: FnMut() -> H> Delivery<'_, S, H, N> {
    async fn run(mut self, handlers: usize, grace: Duration, stop: impl Future<Output = ()>) -> Result<Summary, Cause> {
        self.idle.extend(std::iter::repeat_with(&mut self.new_worker).take(handlers));
        let mut stop = std::pin::pin!(stop.fuse());
        let mut deadline = None;
        let mut failure = None;
        loop {
            let look = self.terms.lease.look();
            if look.lapsed {
                self.lapse();
            }
            // If this call came earlier, an event could begin before `lapse` takes it back.
            self.terms.lease.turned(&look);
            self.start();
            self.report();
            if self.draining && self.started.is_empty() && self.endings.is_empty() {
                break;
            }
            // Without an idle worker a retry cannot start, and a timer that is due would turn the loop without effect.
            let retry = self.schedule.next_retry().filter(|_| !self.draining && !self.idle.is_empty());
            let room = self.schedule.len() < self.source.capacity();
            tokio::select! {
                biased;
                () = &mut stop, if !self.draining => {
                    self.drain();
                    tracing::info!(running = self.started.len(), in_hand = self.schedule.len(), "shutting down");
                    deadline = Some(Instant::now() + grace);
                }
                () = sleep_until(deadline) => break,
                Some(finished) = self.running.next() => self.finished(finished),
                Some(ending) = self.endings.next() => self.ended(&ending),
                () = sleep_until(retry) => {}
                () = self.beats.next() => {}
                signal = self.source.next(), if room && failure.is_none() => match signal {
                    Ok(signal) => self.signal(signal),
                    Err(cause) => {
                        failure = Some(cause);
                        self.drain();
                        deadline.get_or_insert(Instant::now() + grace);
                    }
                },
            }
            self.take_ready();
        }
        let unfinished = self.started.len();
        self.running.clear();
        let rest = self.schedule.positions();
        self.source.close(&rest).await;
        self.metrics.given_back.fetch_add(rest.len() as u64, Ordering::Relaxed);
        match failure {
            Some(cause) => Err(cause),
            None => Ok(Summary { given_back: rest.len(), unfinished }),
        }
    }

    /// Takes all other finished handlers and steps, so that one turn of the loop handles all of them.
    fn take_ready(&mut self) {
        while let Some(Some(finished)) = self.running.next().now_or_never() {
            self.finished(finished);
        }
        while let Some(Some(ending)) = self.endings.next().now_or_never() {
            self.ended(&ending);
        }
    }

    fn signal(&mut self, signal: Signal) {
        if !matches!(signal, Signal::Event(_)) {
            self.recall();
        }
        match signal {
            Signal::Event(arrival) => {
                count(&self.metrics.received);
                if self.schedule.insert(arrival) {
                    self.recall();
                }
            }
            Signal::Open => self.schedule.open(),
            Signal::Close => self.schedule.close(),
            Signal::GiveBack => {
                let positions = self.schedule.withdraw();
                self.give_back(&positions);
            }
            Signal::Forget => {
                let positions = self.schedule.withdraw();
                self.source.forget(&positions);
            }
        }
    }

    /// Drops the events that have not begun: the loop stood still, so another process may own them (D5).
    fn lapse(&mut self) {
        tracing::warn!(
            "this process stood still for longer than it may; events that have not started are dropped here"
        );
        self.source.lapsed();
        self.recall();
        let positions = self.schedule.withdraw();
        self.source.forget(&positions);
        self.schedule.close();
    }

    /// Lets no event begin from now on.
    fn drain(&mut self) {
        self.draining = true;
        self.recall();
    }

    /// Takes back the events that have not begun: they are in the schedule as if they had never started. Their handlers are free
    /// when they have noticed it.
    fn recall(&mut self) {
        let mut back = Vec::new();
        self.started.retain(|position, issued| {
            let recalled = issued.recall();
            back.extend(recalled.then_some(*position));
            !recalled
        });
        for position in back {
            self.put_back(position);
        }
    }

    fn put_back(&mut self, position: Position) {
        if self.schedule.put_back(position) {
            self.give_back(&[position]);
        }
    }

    fn start(&mut self) {
        if self.draining {
            return;
        }
        while !self.idle.is_empty() {
            let Some(start) = self.schedule.start(Instant::now()) else { return };
            if start.blamed {
                let cause = format!(
                    "it was delivered {} times and never finished; it is probably what ended the process each time",
                    start.deliveries
                );
                self.bury(&start.event, cause, 0, start.deliveries);
            } else if self.deepest.is_some_and(|deepest| start.event.depth > deepest) {
                let cause = format!(
                    "{} writes of watchers led to it, each in the event of the one before, and --feed allows {}; the watcher \
                     probably answers its own writes without an end",
                    start.event.depth,
                    self.deepest.unwrap_or_default()
                );
                self.bury(&start.event, cause, 0, start.deliveries);
            } else if let Some(worker) = self.idle.pop() {
                let issued = Issued::new(&self.terms);
                self.started.insert(start.event.position, issued.clone());
                self.running.push(Box::pin(work(worker, start, issued)));
            }
        }
    }

    fn finished(&mut self, finished: Finished<H>) {
        let Finished { worker, start: Start { event, attempt, deliveries, .. }, issued, outcome } = finished;
        self.idle.push(worker.unwrap_or_else(&mut self.new_worker));
        let position = event.position;
        // An event that was taken back may have started again meanwhile.
        if !self.started.get(&position).is_some_and(|started| started.is(&issued)) {
            return;
        }
        self.started.remove(&position);
        let Some((outcome, duration)) = outcome else { return self.put_back(position) };
        self.metrics.handler_time.record(duration);
        let cause = match outcome {
            Outcome::Handled => {
                count(&self.metrics.handled);
                self.schedule.ending(position);
                self.ack(position);
                return;
            }
            Outcome::Trapped(cause) => cause,
        };
        count(&self.metrics.trapped);
        match self.schedule.trapped(position, Instant::now()) {
            Trapped::Again(wait) => {
                count(&self.metrics.retries);
                tracing::warn!(key = %Escaped(&event.key), sequence = position.sequence, attempt, wait_ms = millis(wait), cause = %Escaped(&cause), "the handler trapped; it is tried again");
            }
            Trapped::Exhausted => self.bury(&event, cause, attempt, deliveries),
            Trapped::Withdrawn => self.give_back(&[position]),
        }
    }

    /// Makes an event a dead letter, and acknowledges it after that (D1, D4).
    fn bury(&mut self, event: &Arc<Event>, cause: String, attempts: u32, deliveries: u64) {
        let position = event.position;
        tracing::error!(key = %Escaped(&event.key), sequence = position.sequence, attempts, deliveries, cause = %Escaped(&cause), "the event becomes a dead letter");
        self.schedule.ending(position);
        let letter =
            Arc::new(Letter { event: Arc::clone(event), cause, attempts, deliveries, time: SystemTime::now() });
        let (letters, metrics) = (Arc::clone(&self.letters), Arc::clone(&self.metrics));
        let mut waits = self.retry.forever();
        self.endings.push(Box::pin(async move {
            while let Err(cause) = letters.bury(Arc::clone(&letter)).await {
                count(&metrics.dead_letter_failures);
                tracing::error!(key = %Escaped(&letter.event.key), sequence = position.sequence, cause = %Escaped(&cause.to_string()), "a dead letter cannot be written; its event is kept and it is tried again");
                tokio::time::sleep(waits.next().unwrap_or_default()).await;
            }
            count(&metrics.dead_letters);
            Ending::Buried(position)
        }));
    }

    fn ack(&mut self, position: Position) {
        let ack = self.source.ack(position);
        self.endings.push(Box::pin(async move { Ending::Acked(position, ack.await) }));
    }

    fn ended(&mut self, ending: &Ending) {
        let (position, acked) = match *ending {
            Ending::Buried(position) => return self.ack(position),
            Ending::Acked(position, acked) => (position, acked),
        };
        if acked == Acked::Gone {
            tracing::warn!(
                sequence = position.sequence,
                "the store no longer has the event, or delivers it again: its ack was not confirmed"
            );
        }
        self.schedule.ended(position);
        self.source.acked(position);
    }

    fn give_back(&mut self, positions: &[Position]) {
        self.metrics.given_back.fetch_add(positions.len() as u64, Ordering::Relaxed);
        self.source.give_back(positions);
    }

    fn report(&self) {
        gauge(&self.metrics.in_hand, self.schedule.len());
        gauge(&self.metrics.waiting, self.schedule.waiting());
        self.metrics.open.store(self.schedule.is_open(), Ordering::Relaxed);
    }
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
