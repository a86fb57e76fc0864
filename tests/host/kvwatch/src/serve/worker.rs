use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use inbound_keyvalue_host::{Content, Instance, Personality};
use tokio::sync::{oneshot, watch};
use tracing::Span;

use super::denials::Denials;
use super::event::{Change, Escaped, Event};
use super::handler::{Handler, Outcome};
use crate::engine::{Engine, Output, Provider, Session, Stream, Watcher};
use crate::stores::Acting;

/// What the workers of one served watcher have in common. Cheap to clone.
///
/// ```no_run
/// use kvwatch::serve::Crew;
/// use kvwatch::{Engine, Watcher};
///
/// let watcher = Watcher::load(&Engine::new()?, "audit_log.wasm")?;
/// let crew = Crew::new(watcher, false);
/// let new_worker = || crew.worker();
/// # Ok::<(), kvwatch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Crew {
    watcher: watch::Sender<Watcher>,
    fresh: bool,
    usage: Arc<Usage>,
    denials: Arc<Denials>,
}

/// What the instances of one served watcher have used.
#[derive(Debug, Default)]
pub struct Usage {
    /// Instances that were made.
    pub instances: AtomicU64,
    /// The bytes of linear memory that an instance had at most.
    pub peak_memory: AtomicU64,
    /// Events after which the watcher had done something wrong with a handle.
    pub violations: AtomicU64,
    /// How often the watcher was replaced by a new one.
    pub reloads: AtomicU64,
    /// How often a new watcher could not be loaded, and the old one went on.
    pub reload_failures: AtomicU64,
}

impl Crew {
    /// A crew without workers. With `fresh`, each event has an instance of its own.
    #[must_use]
    pub fn new(watcher: Watcher, fresh: bool) -> Self {
        Self { watcher: watch::Sender::new(watcher), fresh, usage: Arc::default(), denials: Arc::default() }
    }

    /// Goes on with another watcher: each worker takes it before its next event, in a fresh instance. It must be of the same
    /// [`Engine`](crate::Engine).
    pub fn replace(&self, watcher: Watcher) {
        self.watcher.send_replace(watcher);
        self.usage.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// The engine of the watcher.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.watcher.borrow().engine().clone()
    }

    /// A new worker. Its thread starts with its first event.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker { crew: self.clone(), span: Span::current(), acting: None, jobs: None }
    }

    /// What the log has told about denied grants.
    #[must_use]
    pub fn denials(&self) -> &Arc<Denials> {
        &self.denials
    }

    /// What the instances have used so far.
    #[must_use]
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

/// A [`Handler`] that gives events to a session of a watcher, on a thread of its own.
///
/// A session computes without a pause, so it must not run on a thread of the runtime. The session lives as long as the worker.
/// What the watcher writes goes to the log, a line an event of `tracing`, with the key and the attempt as fields.
#[derive(Debug)]
pub struct Worker {
    crew: Crew,
    span: Span,
    acting: Option<Acting>,
    jobs: Option<mpsc::Sender<Job>>,
}

/// An event for the thread of a worker.
struct Job {
    event: Event,
    attempt: u32,
    done: oneshot::Sender<Outcome>,
}

impl Handler for Worker {
    fn handle(&mut self, event: &Event, attempt: u32) -> impl Future<Output = Outcome> + Send {
        let given = self.give(event, attempt);
        async move {
            match given {
                Ok(done) => done.await.unwrap_or_else(|_| Outcome::Trapped("the worker's thread ended".into())),
                Err(cause) => Outcome::Trapped(cause),
            }
        }
    }
}

impl Worker {
    /// Lets the watcher act on this store. Otherwise it has one of its own in memory.
    #[must_use]
    pub fn acting(mut self, acting: Acting) -> Self {
        self.acting = Some(acting);
        self
    }

    fn give(&mut self, event: &Event, attempt: u32) -> Result<oneshot::Receiver<Outcome>, String> {
        let (done, outcome) = oneshot::channel();
        let mut job = Job { event: event.clone(), attempt, done };
        if let Some(jobs) = &self.jobs {
            match jobs.send(job) {
                Ok(()) => return Ok(outcome),
                // The thread has panicked, in an earlier event: this event goes to a new one.
                Err(mpsc::SendError(returned)) => job = returned,
            }
        }
        let (jobs, receiver) = mpsc::channel();
        let (crew, span, acting) = (self.crew.clone(), self.span.clone(), self.acting.clone());
        thread::Builder::new()
            .name("kvwatch worker".into())
            .spawn(move || span.in_scope(|| run(&crew, acting.as_ref(), &receiver)))
            .map_err(|cause| format!("no thread can be started for the worker: {cause}"))?;
        let given = jobs.send(job).map_err(|_| "the worker's thread ended".to_owned());
        self.jobs = Some(jobs);
        given.map(|()| outcome)
    }
}

/// The key and the attempt of the event that a worker is at.
type Current = Arc<Mutex<(Arc<str>, u32)>>;

fn run(crew: &Crew, acting: Option<&Acting>, jobs: &mpsc::Receiver<Job>) {
    let current = Current::new(Mutex::new(("".into(), 0)));
    let mut newest = crew.watcher.subscribe();
    let first = newest.borrow_and_update().clone();
    let mut session = session(crew, acting, &first, Arc::clone(&current));
    let mut has_instance = false;
    // The channel closes when the worker is dropped.
    while let Ok(Job { event, attempt, done }) = jobs.recv() {
        *current.lock().unwrap_or_else(PoisonError::into_inner) = (Arc::clone(&event.key), attempt);
        if newest.has_changed().unwrap_or_default() {
            let watcher = newest.borrow_and_update().clone();
            session = self::session(crew, acting, &watcher, Arc::clone(&current));
            has_instance = false;
        }
        if let Some(acting) = acting {
            acting.depth.set(event.depth);
        }
        let outcome = match &event.change {
            Change::Set(value) => session.set(&event.key, &Content::from(value.clone())),
            Change::Delete => session.delete(&event.key),
        };
        if !has_instance {
            crew.usage.instances.fetch_add(1, Ordering::Relaxed);
        }
        has_instance = outcome.is_handled() && !crew.fresh;
        crew.usage.peak_memory.fetch_max(outcome.peak_memory, Ordering::Relaxed);
        if outcome.violation_count > 0 {
            crew.usage.violations.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                key = %Escaped(&event.key), attempt, count = outcome.violation_count,
                "the watcher did something wrong with a handle; `kvwatch run` tells what"
            );
        }
        for host in &outcome.denied_hosts {
            crew.denials.tell("an HTTP request to the host", host, &format!("--allow-host {host}"));
        }
        let outcome = outcome.trapped().map_or(Outcome::Handled, |trapped| Outcome::Trapped(trapped.to_string()));
        // Nobody listens any more when the grace time of a shutdown is over.
        let _ = done.send(outcome);
    }
}

fn session(crew: &Crew, acting: Option<&Acting>, watcher: &Watcher, current: Current) -> Session {
    let mut personality = Personality::default();
    if crew.fresh {
        personality.instance = Instance::PerEvent;
    }
    let output = Output::lines(move |stream, line| {
        let (key, attempt) = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        tracing::info!(target: "watcher", key = %Escaped(&key), attempt, stream, output = %Escaped::whole(line));
    });
    let session = watcher.session().personality(personality).output(output).counted();
    match acting.filter(|_| watcher.imports().iter().any(|import| import.provider == Provider::Store)) {
        Some(acting) => session.store(Arc::clone(&acting.store)).event_bucket(&*acting.event_bucket).build(),
        // A `Value` cannot be stored, so nothing of it is kept.
        None => session.keep_written(0).build(),
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
