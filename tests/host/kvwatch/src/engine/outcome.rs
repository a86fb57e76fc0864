//! The result of an event.

use std::fmt;
use std::time::Duration;

use inbound_keyvalue_host::{Operation, StoreChange, Trap, Violation, Written};
use wasmtime::WasmBacktrace;
use wasmtime_wasi::I32Exit;

use super::output::Words;
use super::runtime::Limits;
use crate::units::ByteSize;

/// The result of an event.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outcome {
    /// How the event ended.
    pub ending: Ending,
    /// The number of times that the watcher broke a rule for handles.
    pub violation_count: u64,
    /// The number of the watcher's changes of the store.
    pub change_count: u64,
    /// The number of calls to the host that failed. The watcher got an error each time. If it ignored the error, the event counts
    /// as handled.
    pub host_failures: u64,
    /// The number of calls that the watcher made to the host.
    pub calls: u64,
    /// The time that the event took. It includes making the instance, if the event got a new one. `None` unless the session is
    /// [timed](crate::SessionBuilder::timed).
    pub duration: Option<Duration>,
    /// The most bytes of linear memory that the instance has had up to the end of this event.
    pub peak_memory: u64,
    /// The fuel that the event consumed. `None` unless the engine counts fuel.
    pub fuel: Option<u64>,
    /// `None` if there are no details.
    pub(super) details: Option<Box<Details>>,
}

/// The details of an event. Most events have none, and their outcomes are small.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) violations: Vec<Violation>,
    pub(super) values: Vec<Written>,
    pub(super) changes: Vec<StoreChange>,
    pub(super) denied_hosts: Vec<String>,
    pub(super) words: Words,
}

const NO_DETAILS: &Details = &Details {
    violations: Vec::new(),
    values: Vec::new(),
    changes: Vec::new(),
    denied_hosts: Vec::new(),
    words: Words { stdout: String::new(), stderr: String::new(), missing: [0, 0], last: Vec::new() },
};

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The handler returned.
    Handled,
    /// The event trapped, which ended the instance. The next event gets a fresh instance.
    Trapped(Box<Trapped>),
}

/// An event that trapped. Its `Display` is the [headline](Self::headline), followed by the last words and the backtrace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trapped {
    /// The handler that was called.
    pub operation: Operation,
    /// The key of the event.
    pub key: String,
    /// Whether the trap came while the instance was made.
    pub starting: bool,
    /// The cause of the trap.
    pub cause: Cause,
    /// The last lines that the watcher wrote to its standard error. The error of a handler and the message of a panic are among
    /// them.
    pub last_words: Vec<String>,
    /// The functions of the watcher that were running, the innermost first. Functions without a name are left out.
    pub backtrace: Vec<String>,
    /// The memory limit in bytes, if the watcher asked for more memory in this event and was refused. This may be the cause of
    /// the trap.
    pub refused_memory: Option<u64>,
}

/// Why an event trapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The host ended the event, for this reason.
    Host(String),
    /// The code of the guest trapped. The text is the message of wasmtime.
    Wasm(String),
    /// The guest called `exit`, which ends the instance.
    Exit,
    /// The event exceeded the time limit.
    Time(Duration),
    /// The event exceeded the memory limit, in bytes.
    Memory(u64),
    /// The event exceeded the fuel limit.
    Fuel(u64),
}

impl Outcome {
    /// The violations of the rules for handles: the first 64. Empty if the session is
    /// [counted](crate::SessionBuilder::counted).
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.details().violations
    }

    /// The content of each `Value` that the watcher made, in the order in which it made them.
    #[must_use]
    pub fn values(&self) -> &[Written] {
        &self.details().values
    }

    /// The watcher's changes of the store, in their order: the first 4096 changes.
    #[must_use]
    pub fn changes(&self) -> &[StoreChange] {
        &self.details().changes
    }

    /// The hosts, with their ports, to which kvwatch denied an HTTP request because they are not
    /// [allowed](crate::Grants::allow_host): the first 16.
    #[must_use]
    pub fn denied_hosts(&self) -> &[String] {
        &self.details().denied_hosts
    }

    /// The text that the watcher wrote to standard output. Empty unless the output is [captured](crate::Output::captured).
    #[must_use]
    pub fn stdout(&self) -> &str {
        &self.details().words.stdout
    }

    /// The text that the watcher wrote to standard error. Empty unless the output is [captured](crate::Output::captured).
    #[must_use]
    pub fn stderr(&self) -> &str {
        &self.details().words.stderr
    }

    /// The number of bytes of standard output that were not [captured](crate::Output::captured). They follow the captured ones.
    #[must_use]
    pub fn stdout_missing(&self) -> u64 {
        self.details().words.missing[0]
    }

    /// The number of bytes of standard error that were not [captured](crate::Output::captured). They follow the captured ones.
    #[must_use]
    pub fn stderr_missing(&self) -> u64 {
        self.details().words.missing[1]
    }

    /// Whether the watcher wrote to its standard error. A watcher that handles its own failure reports the failure there.
    #[must_use]
    pub fn wrote_stderr(&self) -> bool {
        !self.details().words.last.is_empty()
    }

    fn details(&self) -> &Details {
        self.details.as_deref().unwrap_or(NO_DETAILS)
    }

    /// Whether the event was handled without a violation.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_handled() && self.violation_count == 0
    }

    /// The trap, if the event trapped.
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

    /// Fails the test unless the event was handled without a violation.
    ///
    /// # Panics
    ///
    /// If the event trapped or there are violations. The message has both.
    #[track_caller]
    pub fn expect_handled(&self) {
        if let Ending::Trapped(trapped) = &self.ending {
            panic!("{trapped}");
        }
        if self.violation_count > 0 {
            let violations: Vec<String> = self.violations().iter().map(ToString::to_string).collect();
            panic!("the event was handled, and is not clean:\n  {}", violations.join("\n  "));
        }
    }

    /// Fails the test unless the event trapped. Returns the trap.
    ///
    /// # Panics
    ///
    /// If the event was handled.
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
    /// One line with the operation, the key and the cause.
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
    /// `starting` says whether the error came from making an instance, and `refused` whether memory was refused.
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
            // An instance cannot be made if its first memory is refused. Later, a guest gets an error and can continue.
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

/// The names of the functions that were running. Functions without a name are left out.
pub(crate) fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    const LONGEST: usize = 200;
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &wasmtime::FrameInfo| {
        let name = frame.func_name()?;
        // Without the hash at its end. A name that rustc did not mangle does not change.
        let name = format!("{:#}", rustc_demangle::demangle(name));
        // A name is text from a file: it must not control a terminal.
        Some(name.escape_debug().take(LONGEST).collect::<String>())
    };
    backtrace.frames().iter().filter_map(name).collect()
}
