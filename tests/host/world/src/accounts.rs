//! The violations that a guest can commit with handles, and the origin of a handle.

use std::fmt;
use std::panic::Location;

/// A kind of handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the draft's kinds by their names")]
pub enum HandleKind {
    Bucket,
    Error,
    InputStream,
    OutputStream,
    Payload,
    Value,
}

impl HandleKind {
    pub(crate) const COUNT: usize = 6;
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "bucket",
            Self::Error => "error",
            Self::InputStream => "input-stream",
            Self::OutputStream => "output-stream",
            Self::Payload => "payload",
            Self::Value => "value",
        })
    }
}

/// The origin of a handle: the call that made it and, in a native test, the line of that call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The draft's function. It is `on-set` or `on-delete` for the handles that the host passes to a watcher.
    pub call: &'static str,
    /// The line that made the call, if it is known.
    pub location: Option<&'static Location<'static>>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from `{}`", self.call)?;
        if let Some(location) = self.location {
            write!(f, " at {location}")?;
        }
        Ok(())
    }
}

/// Something that a guest did wrong with its handles, and the rule that it broke.
///
/// Its `Display` names the handle's kind, its number and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The kind of violation.
    pub fault: Fault,
    /// The kind of handle that the call expected.
    pub kind: HandleKind,
    /// The handle.
    pub handle: u32,
    /// The draft's function that was called; for a leak, the end of the event.
    pub call: &'static str,
    /// The origin of the handle, if it is known.
    pub origin: Option<Origin>,
}

/// The violations of an event. Only the first ones are kept, so that a guest cannot fill the host's memory with them.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    kept: Vec<Violation>,
    total: u64,
    /// Whether violations are only counted.
    counted: bool,
}

impl Violations {
    const MOST: usize = 64;

    /// Starts an event. Violations since the end of the last one belong to it.
    #[inline]
    pub(crate) fn begin(&mut self) {
        self.total = self.kept.len() as u64;
    }

    pub(crate) fn set_keep(&mut self, keep: bool) {
        self.counted = !keep;
    }

    pub(crate) fn note(&mut self, violation: Violation) {
        self.total += 1;
        if !self.counted && self.kept.len() < Self::MOST {
            self.kept.push(violation);
        }
    }

    pub(crate) fn count(&mut self, violations: u64) {
        self.total += violations;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Vec<Violation> {
        // Most events have none, and an empty list is not moved.
        if self.kept.is_empty() { Vec::new() } else { std::mem::take(&mut self.kept) }
    }
}

/// A kind of violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The handle was never dropped.
    Leaked,
    /// No handle has this number, and no handle of this event has had it.
    Unknown,
    /// The handle was dropped before.
    DroppedBefore,
    /// The payload was consumed before.
    ConsumedBefore,
    /// The handle is of this other kind.
    WrongKind(HandleKind),
    /// A value was dropped before the stream that writes it.
    ParentFirst,
    /// `value-write-body` was called again.
    BodyAgain,
    /// A stream was read after its end.
    ReadAfterEnd,
    /// A stream was used after it failed.
    UsedAfterFailure,
    /// A read or write of length 0. Some hosts give it another meaning.
    Empty,
    /// A read of more than 16 MiB. Some hosts allocate as much as a guest asks for.
    Unbounded,
}

impl Fault {
    /// The rule of the SDK's design that forbids it.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::Leaked => "O2",
            Self::Unknown | Self::DroppedBefore => "O8",
            Self::ConsumedBefore => "O3",
            Self::WrongKind(_) => "O1",
            Self::ParentFirst => "O6",
            Self::BodyAgain => "O7",
            Self::ReadAfterEnd => "R2",
            Self::UsedAfterFailure => "R5",
            Self::Empty => "R1/W1",
            Self::Unbounded => "R4",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, kind, handle, call, .. } = self;
        match fault {
            Fault::Leaked => write!(f, "{kind} {handle} was never dropped")?,
            Fault::Unknown => write!(f, "`{call}` was called with {kind} {handle}, which does not exist")?,
            Fault::DroppedBefore => write!(f, "`{call}` was called with {kind} {handle}, which was dropped before")?,
            Fault::ConsumedBefore => write!(f, "`{call}` was called with {kind} {handle}, which was consumed before")?,
            Fault::WrongKind(other) => {
                write!(f, "`{call}` was called with {handle} for its {kind}, but that is the {other}")?;
            }
            Fault::ParentFirst => write!(f, "{kind} {handle} was dropped before the stream that writes it")?,
            Fault::BodyAgain => write!(f, "`{call}` was called for {kind} {handle} a second time")?,
            Fault::ReadAfterEnd => write!(f, "`{call}` was called with {kind} {handle} after its end")?,
            Fault::UsedAfterFailure => write!(f, "`{call}` was called with {kind} {handle} after it failed")?,
            Fault::Empty => write!(f, "`{call}` was called with {kind} {handle} for 0 bytes")?,
            Fault::Unbounded => {
                write!(
                    f,
                    "`{call}` was called with {kind} {handle} for more than 16 MiB, the most that a guest may ask for"
                )?;
            }
        }
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}
