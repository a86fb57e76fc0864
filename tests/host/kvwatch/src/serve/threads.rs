use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use super::event::Event;
use super::handler::Outcome;
use super::permit::Permit;

/// Handles events on a thread. It is made on this thread, and does not move to another one.
pub(super) type Handle = Box<dyn FnMut(&Event, u32) -> Outcome>;

/// Threads that take events from one queue. So an event waits only while all threads are busy.
///
/// A thread starts when an event comes and no thread waits for one. A thread that panicked in an event is replaced. The threads
/// end when this is dropped, after the events that have begun.
#[derive(Debug)]
pub(super) struct Threads(Arc<Shared>);

struct Shared {
    most: usize,
    new_handle: Box<dyn Fn() -> Handle + Send + Sync>,
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// The threads that wait for a job.
    idle: usize,
    /// Whether a thread was woken or started, and does not run yet. It takes the next job, and wakes another thread if there are more.
    /// So not every short job wakes a thread.
    waking: bool,
    closed: bool,
}

/// An event that waits for a thread.
#[derive(Debug)]
struct Job {
    event: Event,
    attempt: u32,
    permit: Permit,
    done: oneshot::Sender<Option<Outcome>>,
}

impl Threads {
    /// Up to `most` threads. 0 counts as 1. Each thread calls `new_handle` at its first event.
    pub(super) fn new(most: usize, new_handle: impl Fn() -> Handle + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            most: most.max(1),
            new_handle: Box::new(new_handle),
            state: Mutex::default(),
            arrived: Condvar::new(),
        }))
    }

    /// Puts an event into the queue. The answer is `None` if the event must not begin, and an error if the thread panicked in it.
    pub(super) fn queue(&self, event: Event, attempt: u32, permit: Permit) -> oneshot::Receiver<Option<Outcome>> {
        let (done, outcome) = oneshot::channel();
        let shared = &self.0;
        let mut state = shared.state();
        state.jobs.push_back(Job { event, attempt, permit, done });
        wake(shared, state);
        outcome
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.0.arrived.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a job. `None` if there will be no more jobs.
fn next(shared: &Arc<Shared>) -> Option<Job> {
    let mut state = shared.state();
    loop {
        if state.closed {
            return None;
        }
        if let Some(job) = state.jobs.pop_front() {
            wake(shared, state);
            return Some(job);
        }
        state.idle += 1;
        state = shared.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        state.waking = false;
    }
}

fn run(shared: &Arc<Shared>) {
    shared.state().waking = false;
    let mut handle = None;
    while let Some(Job { event, attempt, permit, done }) = next(shared) {
        let outcome = permit.begin().map(|_running| {
            // This is called within an event. If it panics, the event fails, and the threads do not panic for ever.
            let handle = handle.get_or_insert_with(|| (shared.new_handle)());
            handle(&event, attempt)
        });
        // Nobody listens any more when the grace time of a shutdown is over.
        let _ = done.send(outcome);
    }
}

/// Wakes or starts a thread for the next job, if there is one and a thread is free.
fn wake(shared: &Arc<Shared>, mut state: MutexGuard<'_, State>) {
    if state.waking || state.jobs.is_empty() {
        return;
    }
    if state.idle > 0 {
        state.waking = true;
        // Otherwise the woken thread would wait for the lock.
        drop(state);
        shared.arrived.notify_one();
    } else if state.threads < shared.most {
        start(shared, &mut state);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("most", &self.most).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Starts one more thread. If this fails and there is no other thread, the events that wait fail.
fn start(shared: &Arc<Shared>, state: &mut State) {
    state.threads += 1;
    state.waking = true;
    let of_thread = Arc::clone(shared);
    let started = thread::Builder::new().name("kvwatch worker".into()).spawn(move || {
        let place = Place(of_thread);
        run(&place.0);
    });
    if let Err(cause) = started {
        state.threads -= 1;
        state.waking = false;
        tracing::error!(%cause, threads = state.threads, "no thread can be started for a worker");
        if state.threads == 0 {
            for Job { permit, done, .. } in state.jobs.drain(..) {
                let cause = format!("no thread can be started for the worker: {cause}");
                let _ = done.send(permit.begin().map(|_running| Outcome::Trapped(cause)));
            }
        }
    }
}

/// The place of a thread among the others, until it ends or panics.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.threads -= 1;
        wake(&self.0, state);
    }
}

#[cfg(test)]
#[path = "threads_tests.rs"]
mod tests;
