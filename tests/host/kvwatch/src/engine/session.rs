mod builder;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use inbound_keyvalue_host::{Change, Content, Event, Host, Operation, Personality, Trap as HostTrap, Violation};
use tokio::runtime::Handle;
use wasmtime::{Store, Trap};

use super::limits::Clock;
use super::linking::{HandleWatch, State};
use super::outcome::{Cause, Details, Ending, Outcome, Trapped, backtrace};
use super::output::{Console, Words};
use super::waiting::{wait_for, within};
use super::watcher::Watcher;

pub use builder::SessionBuilder;
use builder::{clock, keep, store};

/// Delivers events to a watcher, one after the other.
///
/// The first event makes an instance. It is kept until it traps, unless the personality has an instance for each event.
pub struct Session {
    watcher: Watcher,
    store: Store<State>,
    guest: Option<HandleWatch>,
    console: Console,
    per_event: bool,
    timed: bool,
    /// The most bytes of each value that are kept, if the caller has set it.
    keep_written: Option<usize>,
    /// The time and the fuel of every event, if there are limits.
    clock: Option<Arc<Clock>>,
    fuel: Option<u64>,
}

impl Session {
    /// Delivers a set to the watcher.
    ///
    /// You can call it within a tokio runtime too. It then blocks a thread of the runtime. A server calls
    /// [`set_async`](Self::set_async).
    #[must_use = "a watcher's failure is only known from here: call `expect_handled`"]
    pub fn set(&mut self, key: &str, content: &Content) -> Outcome {
        if let Some(runtime) = self.watcher.runtime() {
            return self.set_waiting(runtime, key, content);
        }
        let begun = self.begin();
        let given = self.store.data_mut().keyvalue.begin_set(content);
        let event = (given.bucket, key, given.payload);
        let result = self.running().and_then(|watch| watch.on_set.call(&mut self.store, event));
        self.end(begun, Operation::Set, key, result)
    }

    /// Delivers a delete to the watcher.
    ///
    /// You can call it within a tokio runtime too. It then blocks a thread of the runtime. A server calls
    /// [`delete_async`](Self::delete_async).
    #[must_use = "a watcher's failure is only known from here: call `expect_handled`"]
    pub fn delete(&mut self, key: &str) -> Outcome {
        if let Some(runtime) = self.watcher.runtime() {
            return self.delete_waiting(runtime, key);
        }
        let begun = self.begin();
        let bucket = self.store.data_mut().keyvalue.begin_delete();
        let result = self.running().and_then(|watch| watch.on_delete.call(&mut self.store, (bucket, key)));
        self.end(begun, Operation::Delete, key, result)
    }

    /// This is a separate function, so that a watcher that never waits does not pay for the large frame of a future.
    #[cold]
    fn set_waiting(&mut self, runtime: &Handle, key: &str, content: &Content) -> Outcome {
        wait_for(runtime, self.set_async(key, content))
    }

    /// As for [`set_waiting`](Self::set_waiting).
    #[cold]
    fn delete_waiting(&mut self, runtime: &Handle, key: &str) -> Outcome {
        wait_for(runtime, self.delete_async(key))
    }

    /// Delivers a set to the watcher. While the watcher waits for a clock, a file or a socket, the thread is free.
    ///
    /// It must be awaited within a tokio runtime whose drivers for time and I/O are enabled. If the future is dropped, the event
    /// ends, and the instance cannot continue: call [`renew`](Self::renew) then.
    pub async fn set_async(&mut self, key: &str, content: &Content) -> Outcome {
        if self.watcher.runtime().is_none() {
            return self.set(key, content);
        }
        let begun = self.begin();
        let given = self.store.data_mut().keyvalue.begin_set(content);
        let event = (given.bucket, key, given.payload);
        let clock = self.clock.clone();
        let call = async {
            let watch = self.running_async().await?;
            watch.on_set.call_async(&mut self.store, event).await
        };
        let result = within(clock.as_deref(), call).await.unwrap_or_else(|| Err(Trap::Interrupt.into()));
        self.end(begun, Operation::Set, key, result)
    }

    /// Delivers a delete to the watcher, as [`set_async`](Self::set_async) delivers a set.
    pub async fn delete_async(&mut self, key: &str) -> Outcome {
        if self.watcher.runtime().is_none() {
            return self.delete(key);
        }
        let begun = self.begin();
        let bucket = self.store.data_mut().keyvalue.begin_delete();
        let clock = self.clock.clone();
        let call = async {
            let watch = self.running_async().await?;
            watch.on_delete.call_async(&mut self.store, (bucket, key)).await
        };
        let result = within(clock.as_deref(), call).await.unwrap_or_else(|| Err(Trap::Interrupt.into()));
        self.end(begun, Operation::Delete, key, result)
    }

    /// Delivers a recorded event to the watcher, as [`set_async`](Self::set_async) delivers a set.
    pub async fn event_async(&mut self, event: &Event) -> Outcome {
        match &event.change {
            Change::Set(content) => self.set_async(&event.key, content).await,
            Change::Delete => self.delete_async(&event.key).await,
        }
    }

    /// Delivers a recorded event to the watcher.
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
        // The host stays the same: its handles remain, and its random behaviour continues.
        let host = mem::replace(&mut self.store.data_mut().keyvalue, Host::new(Personality::default()));
        self.guest = None;
        self.store = store(&self.watcher, &self.console, self.clock.as_ref(), host);
    }

    /// Changes to another watcher, in a fresh instance. The host and its handles stay the same.
    pub fn replace(&mut self, watcher: Watcher) {
        (self.clock, self.fuel) = (clock(&watcher), watcher.engine().fuel());
        keep(&mut self.store.data_mut().keyvalue, self.keep_written, &watcher);
        self.watcher = watcher;
        self.renew();
    }

    #[inline]
    fn begin(&mut self) -> Option<Instant> {
        let begun = self.timed.then(Instant::now);
        if let Some(clock) = &self.clock {
            clock.begin();
            self.store.set_epoch_deadline(1);
        }
        if let Some(fuel) = self.fuel {
            // This fails only if fuel is not counted.
            let _ = self.store.set_fuel(fuel);
        }
        let state = self.store.data_mut();
        state.memory.begin();
        state.failures = 0;
        begun
    }

    /// The instance. If there is none, this makes one.
    #[inline]
    fn running(&mut self) -> wasmtime::Result<HandleWatch> {
        match self.guest {
            Some(guest) => Ok(guest),
            None => self.start(),
        }
    }

    #[cold]
    fn start(&mut self) -> wasmtime::Result<HandleWatch> {
        self.store.data_mut().granted()?;
        let guest = self.watcher.pre().instantiate(&mut self.store)?;
        self.guest = Some(guest);
        Ok(guest)
    }

    async fn running_async(&mut self) -> wasmtime::Result<HandleWatch> {
        if let Some(guest) = self.guest {
            return Ok(guest);
        }
        self.store.data_mut().granted()?;
        let guest = self.watcher.pre().instantiate_async(&mut self.store).await?;
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
            // Not every function of the host can be interrupted. An event that ends too late was not handled in time.
            Ok(()) if self.clock.as_ref().is_some_and(|clock| clock.left().is_none()) => {
                self.trapped(begun, operation, key, &Trap::Interrupt.into())
            }
            Ok(()) => {
                let violations = self.store.data_mut().keyvalue.end();
                let words = self.console.end();
                self.outcome(begun, Ending::Handled, violations, words)
            }
            // A call of the host that took too long ends with a trap of the host.
            Err(error) if error.is::<HostTrap>() && self.clock.as_ref().is_some_and(|clock| clock.left().is_none()) => {
                self.trapped(begun, operation, key, &Trap::Interrupt.into())
            }
            Err(error) => self.trapped(begun, operation, key, &error),
        }
    }

    #[cold]
    fn trapped(&mut self, begun: Option<Instant>, operation: Operation, key: &str, error: &wasmtime::Error) -> Outcome {
        let starting = self.guest.is_none();
        let State { keyvalue, memory, .. } = self.store.data_mut();
        let limits = self.watcher.engine().limits();
        let cause = Cause::of(error, limits, starting, memory.refused());
        let refused_memory = limits.memory.filter(|_| memory.refused() && !matches!(cause, Cause::Memory(_)));
        let violations = keyvalue.end_trapped();
        let words = self.console.end();
        let last_words = words.as_ref().map(|words| words.last.clone()).unwrap_or_default();
        let trapped = Trapped {
            operation,
            key: key.to_owned(),
            starting,
            cause,
            last_words,
            backtrace: backtrace(error),
            refused_memory,
        };
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
    fn outcome(
        &mut self,
        begun: Option<Instant>,
        ending: Ending,
        violations: Vec<Violation>,
        words: Option<Words>,
    ) -> Outcome {
        let fuel = self.fuel.and_then(|given| Some(given.saturating_sub(self.store.get_fuel().ok()?)));
        let state = self.store.data_mut();
        let details = if violations.is_empty() && words.is_none() && !state.has_details() {
            None
        } else {
            Some(details(state, violations, words))
        };
        let State { keyvalue, memory, failures, .. } = state;
        let host_failures = *failures;
        let (calls, peak_memory) = (keyvalue.calls(), memory.size());
        let (change_count, violation_count) = (keyvalue.change_count(), keyvalue.violation_count());
        if self.per_event {
            self.renew();
        }
        Outcome {
            ending,
            violation_count,
            change_count,
            host_failures,
            calls,
            duration: begun.map(|begun| begun.elapsed()),
            peak_memory,
            fuel,
            details,
        }
    }
}

/// The details of an event that has details.
#[cold]
fn details(state: &mut State, violations: Vec<Violation>, words: Option<Words>) -> Box<Details> {
    Box::new(Details {
        violations,
        values: state.keyvalue.take_values(),
        changes: state.keyvalue.take_changes(),
        denied_hosts: state.take_denied_hosts(),
        words: words.unwrap_or_default(),
    })
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
