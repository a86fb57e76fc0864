//! What became of an event.

use std::fmt;
use std::time::Duration;

use inbound_keyvalue_host::{Operation, StoreChange, Trap, Violation, Written};
use wasmtime::WasmBacktrace;
use wasmtime_wasi::I32Exit;

use super::runtime::Limits;
use crate::units::ByteSize;

/// What became of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// What the watcher did wrong with handles: the first 64 of it. Empty if the session is
    /// [counted](crate::SessionBuilder::counted).
    pub violations: Vec<Violation>,
    /// How often the watcher did something wrong with a handle.
    pub violation_count: u64,
    /// What was written to each `Value` that the watcher made, in the order of their making.
    pub values: Vec<Written>,
    /// What the watcher changed in the store, in this order: the first 4096 changes.
    pub changes: Vec<StoreChange>,
    /// How many changes the watcher made in the store.
    pub change_count: u64,
    /// The hosts, with their ports, that the watcher sent HTTP requests to and is not [allowed](crate::Grants::allow_host) to: the
    /// first 16.
    pub denied_hosts: Vec<String>,
    /// How many calls to the host failed. The host told the watcher, and a watcher that ignores it looks as if it had handled the
    /// event.
    pub host_failures: u64,
    /// How many calls the watcher made to the host.
    pub calls: u64,
    /// How long it took, the making of an instance included where one had to be made. Only where the session is
    /// [timed](crate::SessionBuilder::timed).
    pub duration: Option<Duration>,
    /// The bytes of linear memory that the instance had at most, up to the end of this event.
    pub peak_memory: u64,
    /// The fuel that it consumed, where the engine counts that.
    pub fuel: Option<u64>,
    /// What it wrote to standard output, where that is [captured](crate::Output::captured).
    pub stdout: String,
    /// What it wrote to standard error, where that is [captured](crate::Output::captured).
    pub stderr: String,
    /// How many bytes of the standard output follow those that were [captured](crate::Output::captured).
    pub stdout_missing: u64,
    /// How many bytes of the standard error follow those that were [captured](crate::Output::captured).
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
    /// The innermost functions of the watcher that were running, the innermost first, as far as it has names for them.
    pub backtrace: Vec<String>,
    /// The memory limit in bytes, if it refused the watcher memory in this event. That may be why the watcher gave up.
    pub refused_memory: Option<u64>,
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

impl Outcome {
    /// Whether the event was handled, and nothing done wrong with handles.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_handled() && self.violation_count == 0
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
        if self.violation_count > 0 {
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
        let note = self
            .refused_memory
            .map(|limit| format!(" (before that, the memory limit of {} refused it memory)", ByteSize(limit)));
        format!("{operation} of {key:?} trapped{starting}: {cause}{}", note.unwrap_or_default())
    }
}

impl fmt::Display for Trapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        for line in &self.last_words {
            write!(f, "\n    {line}")?;
        }
        for function in &self.backtrace {
            write!(f, "\n    in {function}")?;
        }
        Ok(())
    }
}

impl Cause {
    /// `starting` tells whether the error came from making an instance, and `refused` whether memory was refused.
    pub(crate) fn of(error: &wasmtime::Error, limits: Limits, starting: bool, refused: bool) -> Self {
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
            // An instance that does not get its first memory cannot be made. All other guests are told, and may go on.
            (None, Limits { memory: Some(limit), .. }) if refused && starting => return Self::Memory(limit),
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

/// The names of the functions that were running, where there are names.
pub(crate) fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    const LONGEST: usize = 200;
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &wasmtime::FrameInfo| {
        let name = frame.func_name()?;
        // Without the hash at its end. A name that rustc did not mangle stays as it is.
        let name = format!("{:#}", rustc_demangle::demangle(name));
        // A name is text from a file: it must not control a terminal.
        Some(name.escape_debug().take(LONGEST).collect::<String>())
    };
    backtrace.frames().iter().filter_map(name).collect()
}
