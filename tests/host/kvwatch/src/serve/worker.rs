use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use inbound_keyvalue_host::{Content, Instance, Personality};
use tokio::sync::watch;
use tracing::Span;

use super::current::Current;
use super::denials::Denials;
use super::event::{Change, Escaped, Event};
use super::handler::{Handler, Outcome};
use super::permit::Permit;
use super::threads::Threads;
use crate::engine::{Engine, Output, Provider, Session, Stream, Watcher};
use crate::stores::Acting;

/// The state that the workers of one served watcher share. A clone is cheap.
///
/// ```no_run
/// use kvwatch::serve::Crew;
/// use kvwatch::{Engine, Watcher};
///
/// let watcher = Watcher::load(&Engine::new()?, "audit_log.wasm")?;
/// let crew = Crew::new(watcher, false);
/// let workers = crew.workers(4);
/// let new_worker = || workers.worker();
/// # Ok::<(), kvwatch::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Crew {
    watcher: watch::Sender<Watcher>,
    fresh: bool,
    usage: Arc<Usage>,
    denials: Arc<Denials>,
}

/// The usage of the instances of one served watcher.
#[derive(Debug, Default)]
pub struct Usage {
    /// The number of instances that were made.
    pub instances: AtomicU64,
    /// The most bytes of linear memory that an instance had.
    pub peak_memory: AtomicU64,
    /// The number of events in which the watcher misused a handle.
    pub violations: AtomicU64,
    /// The number of times that a new watcher replaced the old one.
    pub reloads: AtomicU64,
    /// The number of times that a new watcher could not be loaded, and the old one continued.
    pub reload_failures: AtomicU64,
}

impl Crew {
    /// A crew without workers. With `fresh`, each event has an instance of its own.
    #[must_use]
    pub fn new(watcher: Watcher, fresh: bool) -> Self {
        Self { watcher: watch::Sender::new(watcher), fresh, usage: Arc::default(), denials: Arc::default() }
    }

    /// Changes to another watcher: each worker takes it before its next event, in a fresh instance. It must be of the same
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

    /// Workers that handle up to `count` events at the same time. 0 counts as 1. Pass the same number to [`deliver`](super::deliver)
    /// in [`Settings::workers`](super::Settings::workers). The watcher acts on a store of its own in memory.
    #[must_use]
    pub fn workers(&self, count: usize) -> Workers {
        self.team(count, || None)
    }

    /// Like [`workers`](Self::workers), and lets the watcher act on a store. `acting` is called once for each worker.
    #[must_use]
    pub fn workers_acting(&self, count: usize, acting: impl Fn() -> Acting + Send + Sync + 'static) -> Workers {
        self.team(count, move || Some(acting()))
    }

    fn team(&self, count: usize, acting: impl Fn() -> Option<Acting> + Send + Sync + 'static) -> Workers {
        let (crew, span) = (self.clone(), Span::current());
        let threads = Threads::new(count, move || {
            let mut seat = Seat::new(crew.clone(), acting());
            let span = span.clone();
            Box::new(move |event, attempt| span.in_scope(|| seat.handle(event, attempt)))
        });
        Workers(Arc::new(threads))
    }

    /// The denied hosts and buckets that were logged.
    #[must_use]
    pub fn denials(&self) -> &Arc<Denials> {
        &self.denials
    }

    /// The usage of the instances so far.
    #[must_use]
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }
}

/// Threads that handle the events of one delivery, each in a session of its own. They start with the events, and end when
/// this and the last [`Worker`] are dropped.
///
/// A session computes without a pause, so it must not run on a thread of the runtime. The output of the watcher goes to the log:
/// each line is an event of `tracing`, with the key and the attempt as fields.
#[derive(Clone, Debug)]
pub struct Workers(Arc<Threads>);

impl Workers {
    /// A handler that passes its events to these threads.
    #[must_use]
    pub fn worker(&self) -> Worker {
        Worker(Arc::clone(&self.0))
    }
}

/// A [`Handler`] that passes events to the threads of [`Workers`].
///
/// All workers share the threads and their queue. So an event does not wait for a slow event while another thread is free.
#[derive(Debug)]
pub struct Worker(Arc<Threads>);

impl Handler for Worker {
    /// This is enough for a thread to continue while the loop is busy. With 16, one worker switched threads less than half as often
    /// as with 0. More than 16 did not help.
    const AHEAD: usize = 16;

    async fn handle(&mut self, event: &Event, attempt: u32) -> Outcome {
        let outcome = self.handle_with_permit(event, attempt, Permit::always()).await;
        outcome.unwrap_or_else(|| Outcome::Trapped("the event did not begin".into()))
    }

    fn handle_with_permit(
        &mut self,
        event: &Event,
        attempt: u32,
        permit: Permit,
    ) -> impl Future<Output = Option<Outcome>> + Send {
        let outcome = self.0.queue(event.clone(), attempt, permit);
        async { outcome.await.unwrap_or_else(|_| Some(Outcome::Trapped("the worker's thread ended".into()))) }
    }
}

/// The state of one thread: a session, which lives as long as the thread, and the store that the session acts on.
struct Seat {
    crew: Crew,
    acting: Option<Acting>,
    current: Current,
    newest: watch::Receiver<Watcher>,
    session: Session,
    has_instance: bool,
}

impl Seat {
    fn new(crew: Crew, acting: Option<Acting>) -> Self {
        let current = Current::new();
        let mut newest = crew.watcher.subscribe();
        let watcher = newest.borrow_and_update().clone();
        let session = session(&crew, acting.as_ref(), &watcher, current.clone());
        Self { crew, acting, current, newest, session, has_instance: false }
    }

    fn handle(&mut self, event: &Event, attempt: u32) -> Outcome {
        let Self { crew, acting, current, newest, session, has_instance } = self;
        current.begin(&event.key, attempt);
        if newest.has_changed().unwrap_or_default() {
            let watcher = newest.borrow_and_update().clone();
            *session = self::session(crew, acting.as_ref(), &watcher, current.clone());
            *has_instance = false;
        }
        if let Some(acting) = acting {
            acting.depth.set(event.depth);
        }
        let outcome = match &event.change {
            Change::Set(value) => session.set(&event.key, &Content::from(value.clone())),
            Change::Delete => session.delete(&event.key),
        };
        if !*has_instance {
            crew.usage.instances.fetch_add(1, Ordering::Relaxed);
        }
        *has_instance = outcome.is_handled() && !crew.fresh;
        crew.usage.peak_memory.fetch_max(outcome.peak_memory, Ordering::Relaxed);
        let missing = current.missing();
        if missing > 0 {
            tracing::warn!(key = %Escaped(&event.key), attempt, missing, "the watcher wrote more than the log takes of one attempt");
        }
        if outcome.violation_count > 0 {
            crew.usage.violations.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                key = %Escaped(&event.key), attempt, count = outcome.violation_count,
                "the watcher broke a rule for handles; `kvwatch run` shows which"
            );
        }
        for host in outcome.denied_hosts() {
            crew.denials.tell(
                "the watcher may not send HTTP requests to this host",
                host,
                &format!("--allow-host {host}"),
            );
        }
        outcome.trapped().map_or(Outcome::Handled, |trapped| Outcome::Trapped(trapped.to_string()))
    }
}

fn session(crew: &Crew, acting: Option<&Acting>, watcher: &Watcher, current: Current) -> Session {
    let mut personality = Personality::default();
    if crew.fresh {
        personality.instance = Instance::PerEvent;
    }
    let output = Output::lines(move |stream, line| {
        let Some((key, attempt)) = current.write(line.len()) else { return };
        let stream = match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        tracing::info!(target: "watcher", key = %Escaped(&key), attempt, stream, output = %Escaped::whole(line));
    });
    let session = watcher.session().personality(personality).output(output).counted();
    match acting.filter(|_| watcher.imports().iter().any(|import| import.provider == Provider::Store)) {
        Some(acting) => session.store(Arc::clone(&acting.store)).event_bucket(&*acting.event_bucket).build(),
        // The watcher cannot store a `Value`, so the host keeps no bytes of it.
        None => session.keep_written(0).build(),
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
