use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::event::{Event, Position};
use super::retry::{Retry, Waits};
use super::source::Arrival;

/// Selects the event that may start now. It is a plain state machine: it does no input or output, and the caller passes the time.
///
/// It keeps the rules D2 and D3, and the part of D5 about starts:
///
/// - Each key has a queue in the store's order. An event may start when it is the first of its queue and no event of its
///   key is running or waiting for the confirmation of its ack.
/// - A retry is a later time for the first event of a queue.
/// - Events that come for the third time are *suspects*: one of them may have killed a process twice. Deliveries to this process
///   do not count, because it is alive. While there are suspects, only the lowest of them may start, and only
///   when no other event is running or unconfirmed. A suspect that traps is still the lowest, so the others wait for its
///   attempts. Otherwise the next process could not know which event was running when this process died.
#[derive(Debug)]
pub struct Schedule {
    retry: Retry,
    most_deliveries: u64,
    open: bool,
    entries: BTreeMap<Position, Entry>,
    keys: HashMap<Arc<str>, Queue>,
    /// The first events of the queues that D2 allows to start.
    ready: BTreeSet<Position>,
    waits: BTreeSet<(Instant, Position)>,
    suspects: BTreeSet<Position>,
    /// The number of deliveries of each withdrawn event to this process. The process is alive, so these deliveries have not killed
    /// it. The key is the sequence number, because an event may come again in a new incarnation.
    survived: BTreeMap<u64, u64>,
    /// Events that have started or wait for the confirmation of their ack.
    busy: usize,
}

#[derive(Debug)]
struct Entry {
    event: Arc<Event>,
    deliveries: u64,
    /// The number of deliveries to this process.
    here: u64,
    /// The number of deliveries that may have killed a process: this delivery, and those to other processes.
    dangerous: u64,
    attempt: u32,
    waits: Option<Waits>,
    state: State,
    /// The store delivered it to another process while it was running here. This process does not try it again.
    withdrawn: bool,
    blamed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    Waiting(Instant),
    Running,
    Ending,
}

impl State {
    fn is_busy(self) -> bool {
        matches!(self, Self::Running | Self::Ending)
    }
}

#[derive(Debug, Default)]
struct Queue {
    order: BTreeSet<Position>,
    busy: bool,
    ready: Option<Position>,
}

/// An event that starts now.
#[derive(Clone, Debug)]
pub struct Start {
    /// The event.
    pub event: Arc<Event>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The number of deliveries by the store when the event came here.
    pub deliveries: u64,
    /// The event has probably killed the process too often. It must become a dead letter instead of being handled. It
    /// counts as running until [`Schedule::ending`].
    pub blamed: bool,
}

/// The next step for a trapped event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trapped {
    /// It starts again after this wait.
    Again(Duration),
    /// It has no attempts left. It counts as running until [`Schedule::ending`].
    Exhausted,
    /// It belongs to another process by now. The schedule has forgotten it.
    Withdrawn,
}

/// From this delivery on, an event is a suspect.
const SUSPECT: u64 = 3;

/// The most withdrawn events that the schedule remembers. The lowest ones matter, because only the lowest pending event is blamed.
const REMEMBERED: usize = 1_000;

impl Schedule {
    /// An empty schedule, open. An event that was delivered more than `most_deliveries` times, without the earlier deliveries to
    /// this process, may be blamed for the deaths of processes. Less than 3 counts as 3.
    #[must_use]
    pub fn new(retry: Retry, most_deliveries: u64) -> Self {
        Self {
            retry,
            most_deliveries: most_deliveries.max(SUSPECT),
            open: true,
            entries: BTreeMap::new(),
            keys: HashMap::new(),
            ready: BTreeSet::new(),
            waits: BTreeSet::new(),
            suspects: BTreeSet::new(),
            survived: BTreeMap::new(),
            busy: 0,
        }
    }

    /// Adds an event. If the event is already in hand, only the delivery is counted.
    ///
    /// Returns whether it must run before events that have started: because it is a suspect, or older than the started event of its
    /// key. The started events that have not begun must be [put back](Self::put_back).
    #[must_use = "events that have not begun must be put back"]
    pub fn insert(&mut self, arrival: Arrival) -> bool {
        let Arrival { event, deliveries } = arrival;
        let position = event.position;
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.here += 1;
            return false;
        }
        let survived = self.survived.remove(&position.sequence).unwrap_or_default();
        let dangerous = deliveries.saturating_sub(survived);
        let key = Arc::clone(&event.key);
        let entry = Entry {
            event: Arc::new(event),
            deliveries,
            here: survived + 1,
            dangerous,
            attempt: 0,
            waits: None,
            state: State::Queued,
            withdrawn: false,
            blamed: false,
        };
        self.entries.insert(position, entry);
        let queue = self.keys.entry(Arc::clone(&key)).or_default();
        queue.order.insert(position);
        let is_older = queue.busy && queue.order.first() == Some(&position);
        let is_suspect = dangerous >= SUSPECT;
        if is_suspect {
            self.suspects.insert(position);
        }
        self.refresh(&key);
        is_older || is_suspect && self.busy > 0
    }

    /// Lets events start from now on. This is a takeover: all events that were pending in the store are in hand, so only the lowest
    /// one can have killed the process that had them before.
    pub fn open(&mut self) {
        self.open = true;
        if let Some(mut lowest) = self.entries.first_entry() {
            let entry = lowest.get_mut();
            entry.blamed |= !entry.state.is_busy() && entry.attempt == 0 && entry.dangerous > self.most_deliveries;
        }
    }

    /// Whether events may start.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Lets no event start from now on.
    pub fn close(&mut self) {
        self.open = false;
    }

    /// Starts the next event that may start at this time, if there is one. It counts as running from now on, also while it waits for a
    /// worker.
    pub fn start(&mut self, now: Instant) -> Option<Start> {
        self.wake(now);
        if !self.open {
            return None;
        }
        let position = match self.suspects.first() {
            None => *self.ready.first()?,
            Some(_) if self.busy > 0 => return None,
            Some(suspect) => {
                // An older event of its key comes first, even if the older event is not a suspect.
                let key = &self.entries[suspect].event.key;
                self.keys[key].ready?
            }
        };
        let entry = self.entries.get_mut(&position)?;
        entry.state = State::Running;
        entry.attempt += 1;
        let start = Start {
            event: Arc::clone(&entry.event),
            attempt: entry.attempt,
            deliveries: entry.deliveries,
            blamed: entry.blamed,
        };
        self.set_busy(&start.event.key, true);
        Some(start)
    }

    /// Puts back a started event that has not begun and will not begin, as if it had never started.
    ///
    /// Returns whether the event was withdrawn since it started. Then the schedule has forgotten it.
    #[must_use = "a withdrawn event belongs to another process"]
    pub fn put_back(&mut self, position: Position) -> bool {
        let Some(entry) = self.entries.get_mut(&position).filter(|entry| entry.state == State::Running) else {
            return false;
        };
        if entry.withdrawn {
            self.remember(position);
            self.remove(position);
            return true;
        }
        entry.state = State::Queued;
        entry.attempt -= 1;
        let key = Arc::clone(&entry.event.key);
        self.set_busy(&key, false);
        false
    }

    /// Records that a running event trapped.
    pub fn trapped(&mut self, position: Position, now: Instant) -> Trapped {
        let Some(entry) = self.entries.get_mut(&position) else { return Trapped::Withdrawn };
        if entry.withdrawn {
            self.remember(position);
            self.remove(position);
            return Trapped::Withdrawn;
        }
        let retry = self.retry;
        let Some(wait) = entry.waits.get_or_insert_with(|| retry.waits()).next() else { return Trapped::Exhausted };
        let due = now + wait;
        entry.state = State::Waiting(due);
        let key = Arc::clone(&entry.event.key);
        self.waits.insert((due, position));
        self.set_busy(&key, false);
        Trapped::Again(wait)
    }

    /// Records that the event's handler returned, or that the event will become a dead letter. From now on it waits for the
    /// confirmation of its ack.
    pub fn ending(&mut self, position: Position) {
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.state = State::Ending;
        }
    }

    /// Forgets an event whose ack was confirmed. The next event of its key may start.
    pub fn ended(&mut self, position: Position) {
        self.remove(position);
    }

    /// Forgets all events that have not started or that wait for their next attempt, and returns them in ascending order.
    /// Events that run are not tried again.
    pub fn withdraw(&mut self) -> Vec<Position> {
        let mut idle = Vec::new();
        for (position, entry) in &mut self.entries {
            match entry.state {
                State::Queued | State::Waiting(_) => idle.push(*position),
                State::Running => entry.withdrawn = true,
                State::Ending => {}
            }
        }
        for position in &idle {
            self.remember(*position);
            self.remove(*position);
        }
        idle
    }

    /// Remembers the number of deliveries of an event to this process, before it is removed.
    fn remember(&mut self, position: Position) {
        let Some(entry) = self.entries.get(&position) else { return };
        self.survived.insert(position.sequence, entry.here);
        if self.survived.len() > REMEMBERED {
            self.survived.pop_last();
        }
    }

    /// The time of the next retry.
    #[must_use]
    pub fn next_retry(&self) -> Option<Instant> {
        self.waits.first().map(|(due, _)| *due)
    }

    /// All events in hand, in ascending order.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.entries.keys().copied().collect()
    }

    /// The number of events in hand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event is in hand.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of events that wait for their next attempt.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waits.len()
    }

    fn wake(&mut self, now: Instant) {
        while let Some((due, position)) = self.waits.first().copied().filter(|(due, _)| *due <= now) {
            self.waits.remove(&(due, position));
            if let Some(entry) = self.entries.get_mut(&position) {
                entry.state = State::Queued;
                let key = Arc::clone(&entry.event.key);
                self.refresh(&key);
            }
        }
    }

    fn set_busy(&mut self, key: &Arc<str>, busy: bool) {
        if let Some(queue) = self.keys.get_mut(key) {
            self.busy = if busy { self.busy + 1 } else { self.busy - 1 };
            queue.busy = busy;
        }
        self.refresh(key);
    }

    fn remove(&mut self, position: Position) {
        let Some(entry) = self.entries.remove(&position) else { return };
        if let State::Waiting(due) = entry.state {
            self.waits.remove(&(due, position));
        }
        self.suspects.remove(&position);
        let key = &entry.event.key;
        if let Some(queue) = self.keys.get_mut(key) {
            queue.order.remove(&position);
        }
        if entry.state.is_busy() {
            self.set_busy(key, false);
        } else {
            self.refresh(key);
        }
        if self.keys.get(key).is_some_and(|queue| queue.order.is_empty()) {
            self.keys.remove(key);
        }
    }

    /// Updates `ready` for one queue.
    fn refresh(&mut self, key: &Arc<str>) {
        let Some(queue) = self.keys.get_mut(key) else { return };
        let first = queue.order.first().copied();
        let ready = first.filter(|first| !queue.busy && self.entries[first].state == State::Queued);
        if ready != queue.ready {
            if let Some(old) = queue.ready {
                self.ready.remove(&old);
            }
            self.ready.extend(ready);
            queue.ready = ready;
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
