use std::fmt;
use std::mem;
use std::time::{Duration, Instant};

use inbound_keyvalue_host::{Change, Content, Event, Host, Instance, Operation, Personality, Trap, Violation, Written};
use wasmtime::Store;
use wasmtime_wasi::{I32Exit, WasiCtx};

use super::linking::{HandleWatch, Memory, State};
use super::output::{Console, Output, Words};
use super::runtime::Limits;
use super::watcher::Watcher;
use crate::units::ByteSize;

/// Gives a watcher events, one after the other.
///
/// An instance is made when the first event comes. It is kept until it traps, unless the personality has one for each event.
pub struct Session {
    watcher: Watcher,
    store: Store<State>,
    guest: Option<HandleWatch>,
    console: Console,
    per_event: bool,
    timed: bool,
    /// What every event is given of time, in ticks, and of fuel.
    ticks: Option<u64>,
    fuel: Option<u64>,
}

/// Makes a [`Session`].
#[derive(Debug)]
#[must_use]
pub struct SessionBuilder {
    watcher: Watcher,
    personality: Personality,
    output: Output,
    buckets: Option<Vec<String>>,
    keep_written: Option<usize>,
    timed: bool,
}

/// What became of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What the watcher did wrong with handles.
    pub violations: Vec<Violation>,
    /// What was written to each `Value` that the watcher made, in the order of their making.
    pub values: Vec<Written>,
    /// How many calls the watcher made to the host.
    pub calls: u64,
    /// How long it took, the making of an instance included where one had to be made. Only where the session is
    /// [timed](SessionBuilder::timed).
    pub duration: Option<Duration>,
    /// The bytes of linear memory that the instance had at most, up to the end of this event.
    pub peak_memory: u64,
    /// The fuel that it consumed, where the engine counts that.
    pub fuel: Option<u64>,
    /// What it wrote to standard output, where that is [captured](Output::captured).
    pub stdout: String,
    /// What it wrote to standard error, where that is [captured](Output::captured).
    pub stderr: String,
    /// How many bytes of the standard output follow those that were [captured](Output::captured).
    pub stdout_missing: u64,
    /// How many bytes of the standard error follow those that were [captured](Output::captured).
    pub stderr_missing: u64,
    /// Whether the watcher wrote to its standard error. A watcher that handles its own failure reports it there.
    pub wrote_stderr: bool,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The handler returned.
    Handled,
    /// The event trapped, and took the instance with it. The next one goes to a fresh instance.
    Trapped(Box<Trapped>),
}

/// An event that trapped. Its `Display` is the [headline](Self::headline), and beneath it the last words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trapped {
    /// Which handler was called.
    pub operation: Operation,
    /// The key.
    pub key: String,
    /// Whether there was no instance yet: the making of one trapped.
    pub starting: bool,
    /// Why.
    pub cause: Cause,
    /// The last lines that the watcher wrote to its standard error. A failed handler's error is told there, and a panic.
    pub last_words: Vec<String>,
}

/// Why an event trapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The host ended it, for this reason.
    Host(String),
    /// The guest's own code did, as wasmtime says it.
    Wasm(String),
    /// The guest ended its instance as a program ends its process.
    Exit,
    /// It ran into the time limit.
    Time(Duration),
    /// It ran into the memory limit, which is so many bytes.
    Memory(u64),
    /// It ran into the fuel limit.
    Fuel(u64),
}

impl SessionBuilder {
    pub(crate) fn new(watcher: Watcher) -> Self {
        Self {
            watcher,
            personality: Personality::default(),
            output: Output::default(),
            buckets: None,
            keep_written: None,
            timed: false,
        }
    }

    /// How the host deviates. Unless this is called, it does all that a watcher could wish.
    pub fn personality(mut self, personality: Personality) -> Self {
        self.personality = personality;
        self
    }

    /// What becomes of the watcher's output. Unless this is called, it is discarded.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Lets only these buckets be opened. Unless this is called, every name has a bucket.
    pub fn buckets<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        self.buckets = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Keeps only so many bytes of what is written to each value.
    pub fn keep_written(mut self, bytes: usize) -> Self {
        self.keep_written = Some(bytes);
        self
    }

    /// Takes the time of each event, for [`Outcome::duration`]. A small event takes not much longer than to look at the clock.
    pub fn timed(mut self) -> Self {
        self.timed = true;
        self
    }

    /// Makes the session.
    #[must_use]
    pub fn build(self) -> Session {
        let per_event = self.personality.instance == Instance::PerEvent;
        let mut host = Host::new(self.personality);
        if let Some(buckets) = self.buckets {
            host.set_buckets(buckets);
        }
        if let Some(bytes) = self.keep_written {
            host.keep_written(bytes);
        }
        let console = Console::new(self.output);
        let store = store(&self.watcher, &console, host);
        let timed = self.timed;
        let engine = self.watcher.engine();
        let (ticks, fuel) = (engine.limits().ticks(), engine.fuel());
        Session { watcher: self.watcher, store, guest: None, console, per_event, timed, ticks, fuel }
    }
}

fn store(watcher: &Watcher, console: &Console, host: Host) -> Store<State> {
    let wasi = WasiCtx::builder().stdout(console.stdout()).stderr(console.stderr()).build();
    let memory = Memory::new(watcher.engine().limits().memory);
    let mut store = Store::new(watcher.engine().wasm(), State::new(host, memory, wasi));
    store.limiter(|state| &mut state.memory);
    store
}

impl Session {
    /// Gives the watcher a set.
    #[must_use = "a watcher's failure is only known from here: call `expect_handled`"]
    pub fn set(&mut self, key: &str, content: &Content) -> Outcome {
        let begun = self.begin();
        let given = self.store.data_mut().keyvalue.begin_set(content);
        let event = (given.bucket, key, given.payload);
        let result = self.running().and_then(|watch| watch.on_set.call(&mut self.store, event));
        self.end(begun, Operation::Set, key, result)
    }

    /// Gives the watcher a delete.
    #[must_use = "a watcher's failure is only known from here: call `expect_handled`"]
    pub fn delete(&mut self, key: &str) -> Outcome {
        let begun = self.begin();
        let bucket = self.store.data_mut().keyvalue.begin_delete();
        let result = self.running().and_then(|watch| watch.on_delete.call(&mut self.store, (bucket, key)));
        self.end(begun, Operation::Delete, key, result)
    }

    /// Gives the watcher a recorded event.
    #[must_use = "a watcher's failure is only known from here: call `expect_handled`"]
    pub fn event(&mut self, event: &Event) -> Outcome {
        match &event.change {
            Change::Set(content) => self.set(&event.key, content),
            Change::Delete => self.delete(&event.key),
        }
    }

    /// The watcher.
    #[must_use]
    pub fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// Drops the instance with its state. The next event goes to a fresh one.
    pub fn renew(&mut self) {
        // The host lives on: its handles, and what it does at random, go on from where they were.
        let host = mem::replace(&mut self.store.data_mut().keyvalue, Host::new(Personality::default()));
        self.guest = None;
        self.store = store(&self.watcher, &self.console, host);
    }

    /// Goes on with another watcher, in a fresh instance. What the host does stays as it is, and so do the handles.
    pub fn replace(&mut self, watcher: Watcher) {
        let engine = watcher.engine();
        (self.ticks, self.fuel) = (engine.limits().ticks(), engine.fuel());
        self.watcher = watcher;
        self.renew();
    }

    fn begin(&mut self) -> Option<Instant> {
        let begun = self.timed.then(Instant::now);
        if let Some(ticks) = self.ticks {
            self.store.set_epoch_deadline(ticks);
        }
        if let Some(fuel) = self.fuel {
            // Fails only where fuel is not counted.
            let _ = self.store.set_fuel(fuel);
        }
        self.store.data_mut().memory.begin();
        begun
    }

    /// The instance, made where there is none.
    #[inline]
    fn running(&mut self) -> wasmtime::Result<HandleWatch> {
        match self.guest {
            Some(guest) => Ok(guest),
            None => self.start(),
        }
    }

    #[cold]
    fn start(&mut self) -> wasmtime::Result<HandleWatch> {
        let guest = self.watcher.pre().instantiate(&mut self.store)?;
        self.guest = Some(guest);
        Ok(guest)
    }

    #[expect(clippy::inline_always, reason = "as for `outcome`")]
    #[inline(always)]
    fn end(
        &mut self,
        begun: Option<Instant>,
        operation: Operation,
        key: &str,
        result: wasmtime::Result<()>,
    ) -> Outcome {
        match result {
            Ok(()) => {
                let violations = self.store.data_mut().keyvalue.end();
                let words = self.console.end();
                self.outcome(begun, Ending::Handled, violations, words)
            }
            Err(error) => self.trapped(begun, operation, key, &error),
        }
    }

    #[cold]
    fn trapped(&mut self, begun: Option<Instant>, operation: Operation, key: &str, error: &wasmtime::Error) -> Outcome {
        let starting = self.guest.is_none();
        let State { keyvalue, memory, .. } = self.store.data_mut();
        let cause = Cause::of(error, self.watcher.engine().limits(), memory.refused());
        let violations = keyvalue.end_trapped();
        let mut words = self.console.end();
        let last_words = mem::take(&mut words.last);
        let trapped = Trapped { operation, key: key.to_owned(), starting, cause, last_words };
        let outcome = self.outcome(begun, Ending::Trapped(Box::new(trapped)), violations, words);
        if !self.per_event {
            self.renew();
        }
        outcome
    }

    #[expect(
        clippy::inline_always,
        reason = "an outcome that is moved takes longer than one that is made in its place"
    )]
    #[inline(always)]
    fn outcome(&mut self, begun: Option<Instant>, ending: Ending, violations: Vec<Violation>, words: Words) -> Outcome {
        let fuel = self.fuel.and_then(|given| Some(given.saturating_sub(self.store.get_fuel().ok()?)));
        let State { keyvalue, memory, .. } = self.store.data_mut();
        let (values, calls, peak_memory) = (keyvalue.take_values(), keyvalue.calls(), memory.size());
        if self.per_event {
            self.renew();
        }
        Outcome {
            ending,
            violations,
            values,
            calls,
            duration: begun.map(|begun| begun.elapsed()),
            peak_memory,
            fuel,
            stdout: words.stdout,
            stderr: words.stderr,
            stdout_missing: words.missing[0],
            stderr_missing: words.missing[1],
            wrote_stderr: !words.last.is_empty(),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("watcher", &self.watcher)
            .field("console", &self.console)
            .field("host", &self.store.data().keyvalue)
            .finish_non_exhaustive()
    }
}

impl Outcome {
    /// Whether the event was handled, and nothing done wrong with handles.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_handled() && self.violations.is_empty()
    }

    /// How it trapped, if it did.
    #[must_use]
    pub fn trapped(&self) -> Option<&Trapped> {
        match &self.ending {
            Ending::Handled => None,
            Ending::Trapped(trapped) => Some(trapped),
        }
    }

    /// Whether the handler returned.
    #[must_use]
    pub fn is_handled(&self) -> bool {
        matches!(self.ending, Ending::Handled)
    }

    /// Fails the test unless the event was handled, and nothing done wrong with handles.
    ///
    /// # Panics
    ///
    /// With the trap and the violations, if there are any.
    #[track_caller]
    pub fn expect_handled(&self) {
        if let Ending::Trapped(trapped) = &self.ending {
            panic!("{trapped}");
        }
        if !self.violations.is_empty() {
            let violations: Vec<String> = self.violations.iter().map(ToString::to_string).collect();
            panic!("the event was handled, and is not clean:\n  {}", violations.join("\n  "));
        }
    }

    /// Fails the test unless the event trapped, and gives the trap.
    ///
    /// # Panics
    ///
    /// When the event was handled.
    #[track_caller]
    #[must_use]
    pub fn expect_trapped(self) -> Trapped {
        match self.ending {
            Ending::Handled => panic!("the event was handled, and should have trapped"),
            Ending::Trapped(trapped) => *trapped,
        }
    }
}

impl Trapped {
    /// One line: the operation, the key and the cause.
    ///
    /// `on-set of "users/ada" trapped: wasm `unreachable` instruction executed`
    #[must_use]
    pub fn headline(&self) -> String {
        let Self { operation, key, cause, .. } = self;
        let starting = if self.starting { ", as an instance was made for it" } else { "" };
        format!("{operation} of {key:?} trapped{starting}: {cause}")
    }
}

impl fmt::Display for Trapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for line in &self.last_words {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

impl Cause {
    /// `refused` tells whether memory was refused.
    fn of(error: &wasmtime::Error, limits: Limits, refused: bool) -> Self {
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Self::Host(trap.to_string());
        }
        if error.is::<I32Exit>() {
            return Self::Exit;
        }
        let trap = error.downcast_ref::<wasmtime::Trap>();
        match (trap, limits) {
            (Some(wasmtime::Trap::Interrupt), Limits { time: Some(limit), .. }) => return Self::Time(limit),
            (Some(wasmtime::Trap::OutOfFuel), Limits { fuel: Some(limit), .. }) => return Self::Fuel(limit),
            // A guest that is refused memory gives up, or cannot be made at all.
            (Some(wasmtime::Trap::UnreachableCodeReached) | None, Limits { memory: Some(limit), .. }) if refused => {
                return Self::Memory(limit);
            }
            _ => {}
        }
        let message = trap.map_or_else(|| format!("{error:#}"), ToString::to_string);
        Self::Wasm(message.strip_prefix("wasm trap: ").unwrap_or(&message).to_owned())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(reason) | Self::Wasm(reason) => f.write_str(reason),
            Self::Exit => f.write_str("it exited, which ends the instance"),
            Self::Time(limit) => write!(f, "it ran into the time limit of {limit:?}"),
            Self::Memory(limit) => write!(f, "it ran into the memory limit of {}", ByteSize(*limit)),
            Self::Fuel(limit) => write!(f, "it ran into the fuel limit of {limit}"),
        }
    }
}
