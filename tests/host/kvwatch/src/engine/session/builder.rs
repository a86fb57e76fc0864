//! Makes a session, and the store of wasmtime for its instances.

use std::sync::Arc;

use inbound_keyvalue_host::store::Store as KeyvalueStore;
use inbound_keyvalue_host::{Details, Host, HostLimits, Instance, Personality};
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use super::Session;
use crate::engine::grants::Provider;
use crate::engine::limits::{Clock, Memory};
use crate::engine::linking::State;
use crate::engine::output::{Console, Output};
use crate::engine::uncounted::Uncounted;
use crate::engine::watcher::Watcher;

/// Makes a [`Session`].
#[derive(Debug)]
#[must_use]
pub struct SessionBuilder {
    watcher: Watcher,
    personality: Personality,
    output: Output,
    buckets: Option<Vec<String>>,
    store: Option<Arc<dyn KeyvalueStore>>,
    event_bucket: Option<String>,
    keep_written: Option<usize>,
    details: Details,
    timed: bool,
}

impl SessionBuilder {
    pub(crate) fn new(watcher: Watcher) -> Self {
        Self {
            watcher,
            personality: Personality::default(),
            output: Output::default(),
            buckets: None,
            store: None,
            event_bucket: None,
            keep_written: None,
            details: Details::default(),
            timed: false,
        }
    }

    /// Sets how the host deviates. Unless this is called, the host behaves well.
    pub fn personality(mut self, personality: Personality) -> Self {
        self.personality = personality;
        self
    }

    /// Sets the destination of the watcher's output. Unless this is called, the output is discarded.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Lets only these buckets be opened. Unless this is called, every name has a bucket.
    pub fn buckets<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.buckets = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the store that the watcher acts on. Unless this is called, the session has a store of its own in memory.
    pub fn store(mut self, store: Arc<dyn KeyvalueStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the bucket of the store that the events come from. It is [`EVENT_BUCKET`](inbound_keyvalue_host::EVENT_BUCKET) unless
    /// this is called.
    pub fn event_bucket(mut self, name: impl Into<String>) -> Self {
        self.event_bucket = Some(name.into());
        self
    }

    /// Keeps at most `bytes` of each value. Unless this is called, the session keeps whole values if the watcher can store them, and
    /// otherwise 1 MiB of each value.
    pub fn keep_written(mut self, bytes: usize) -> Self {
        self.keep_written = Some(bytes);
        self
    }

    /// Collects no details of the events: [`violations`](crate::Outcome::violations), [`values`](crate::Outcome::values) and
    /// [`changes`](crate::Outcome::changes) stay empty, and [`violation_count`](crate::Outcome::violation_count) still counts. Use it
    /// for a session that lives for months.
    pub fn counted(mut self) -> Self {
        self.details = Details::Counted;
        self
    }

    /// Measures the time of each event, for [`Outcome::duration`](crate::Outcome::duration). This is off by default, because a small
    /// event takes not much longer than a read of the clock.
    pub fn timed(mut self) -> Self {
        self.timed = true;
        self
    }

    /// Makes the session.
    #[must_use]
    pub fn build(self) -> Session {
        let per_event = self.personality.instance == Instance::PerEvent;
        let mut host = Host::new(self.personality);
        host.set_details(self.details);
        if let Some(buckets) = self.buckets {
            host.set_buckets(buckets);
        }
        if let Some(store) = self.store {
            host.set_store(store);
        }
        if let Some(name) = self.event_bucket {
            host.set_event_bucket(name);
        }
        keep(&mut host, self.keep_written, &self.watcher);
        let console = Console::new(self.output);
        let clock = clock(&self.watcher);
        let store = store(&self.watcher, &console, clock.as_ref(), host);
        let (timed, fuel) = (self.timed, self.watcher.engine().fuel());
        let keep_written = self.keep_written;
        Session { watcher: self.watcher, store, guest: None, console, per_event, timed, keep_written, clock, fuel }
    }
}

/// Sets the number of bytes that the host keeps of a value. A watcher that can store its values needs them whole.
pub(super) fn keep(host: &mut Host, keep_written: Option<usize>, watcher: &Watcher) {
    let acts = watcher.imports().iter().any(|import| import.provider == Provider::Store);
    if let Some(bytes) = keep_written.or(acts.then_some(usize::MAX)) {
        host.keep_written(bytes);
    }
}

pub(super) fn clock(watcher: &Watcher) -> Option<Arc<Clock>> {
    watcher.engine().limits().time.map(|limit| Arc::new(Clock::new(limit)))
}

pub(super) fn store(watcher: &Watcher, console: &Console, clock: Option<&Arc<Clock>>, mut host: Host) -> Store<State> {
    let engine = watcher.engine();
    // The memory limit covers the bytes that the host keeps for a guest. The time limit covers long calls of the host.
    let mut kept = HostLimits::default();
    kept.bytes = engine.kept().unwrap_or(kept.bytes);
    host.set_limits(kept);
    if let Some(clock) = clock.cloned() {
        host.set_interrupt(move || clock.left().is_none());
    }
    let mut wasi = WasiCtx::builder();
    match clock {
        Some(clock) => {
            wasi.stdout(Uncounted::new(console.stdout(), Arc::clone(clock)));
            wasi.stderr(Uncounted::new(console.stderr(), Arc::clone(clock)));
        }
        None => _ = wasi.stdout(console.stdout()).stderr(console.stderr()),
    }
    let denied = engine.grants().apply(&mut wasi).err();
    let memory = Memory::new(engine.limits().memory);
    let state = State::new(
        host,
        memory,
        engine.fuel().is_some(),
        wasi.build(),
        denied,
        #[cfg(feature = "http")]
        crate::engine::http::Http::new(engine.grants().allowed_hosts().to_vec()),
    );
    let mut store = Store::new(watcher.wasm(), state);
    store.limiter(|state| &mut state.memory);
    if let Some(clock) = clock {
        let clock = Arc::clone(clock);
        let waits = watcher.runtime().is_some();
        // wasmtime calls this at every tick. If the watcher may wait, it then lets other tasks run.
        store.epoch_deadline_callback(move |_| {
            Ok(match clock.left() {
                None => UpdateDeadline::Interrupt,
                Some(_) if waits => UpdateDeadline::Yield(1),
                Some(_) => UpdateDeadline::Continue(1),
            })
        });
    }
    store
}
