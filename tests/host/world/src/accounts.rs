//! Who holds what: every live handle, where it came from, and what was done wrong with one.

use std::fmt;
use std::panic::Location;

use crate::personality::Numbering;

/// A kind of handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the draft's kinds by their names")]
pub enum Kind {
    Bucket,
    Error,
    InputStream,
    OutputStream,
    Payload,
    Value,
}

impl Kind {
    const COUNT: usize = 6;
}

impl fmt::Display for Kind {
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

/// Where a handle came from: the call that gave it to the guest and, in a native test, the line that made the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The draft's function, `on-set` and `on-delete` among them.
    pub call: &'static str,
    /// The caller, where it is known.
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
    /// What was done.
    pub fault: Fault,
    /// The kind that the call was about.
    pub kind: Kind,
    /// The handle.
    pub handle: u32,
    /// The draft's function that was called; for a leak, the end of the event.
    pub call: &'static str,
    /// Where the handle came from, where that is known.
    pub origin: Option<Origin>,
}

/// What can be done wrong with a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It was never dropped.
    Leaked,
    /// No handle has this number, and none of this event has had it.
    Unknown,
    /// It was dropped before.
    DroppedBefore,
    /// The payload was consumed before.
    ConsumedBefore,
    /// It is of this other kind.
    WrongKind(Kind),
    /// A value was dropped before the stream that writes it.
    ParentFirst,
    /// `value-write-body` was called again.
    BodyAgain,
    /// A stream was read after its end.
    ReadAfterEnd,
    /// A stream was used after it failed.
    UsedAfterFailure,
    /// A read or write of no bytes, which some hosts take for something else.
    Empty,
    /// A read of more than any host can be asked for.
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
            Fault::Unknown => write!(f, "`{call}` was called with {kind} {handle}, which there is not")?,
            Fault::DroppedBefore => write!(f, "`{call}` was called with {kind} {handle}, which was dropped before")?,
            Fault::ConsumedBefore => write!(f, "`{call}` was called with {kind} {handle}, which was consumed before")?,
            Fault::WrongKind(other) => {
                write!(f, "`{call}` was called with {handle} for its {kind}, but that is the {other}")?;
            }
            Fault::ParentFirst => write!(f, "{kind} {handle} was dropped before the stream that writes it")?,
            Fault::BodyAgain => write!(f, "`{call}` was called for {kind} {handle} a second time")?,
            Fault::ReadAfterEnd => write!(f, "`{call}` was called with {kind} {handle} after its end")?,
            Fault::UsedAfterFailure => write!(f, "`{call}` was called with {kind} {handle} after it failed")?,
            Fault::Empty => write!(f, "`{call}` was called with {kind} {handle} for no bytes at all")?,
            Fault::Unbounded => {
                write!(f, "`{call}` was called with {kind} {handle} for more bytes than a host can be asked for")?;
            }
        }
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// A handle that is live, or was earlier in this event.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) handle: u32,
    pub(crate) kind: Kind,
    life: Life,
    pub(crate) origin: Origin,
    pub(crate) object: T,
}

/// Whether the guest has a handle, and if not, how it gave it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Live,
    Dropped,
    Consumed,
}

/// All handles of an instance, in the order in which they were given. There are few at a time: a walk over them is quicker than
/// a map.
///
/// An entry stays where it is when its handle is given up. To move it would cost more than all else that an event does here.
#[derive(Debug)]
pub(crate) struct Table<T> {
    numbering: Numbering,
    entries: Vec<Entry<T>>,
    dead: usize,
    /// Whether numbers have begun anew behind the last.
    wrapped: bool,
    next: [u32; Kind::COUNT],
}

/// So many past handles are remembered at least. What was before them is not told.
const REMEMBERED: usize = 64;

impl<T> Table<T> {
    pub(crate) fn new(numbering: Numbering) -> Self {
        Self { numbering, entries: Vec::new(), dead: 0, wrapped: false, next: [numbering.first; Kind::COUNT] }
    }

    #[inline]
    pub(crate) fn insert(&mut self, kind: Kind, origin: Origin, object: T) -> u32 {
        let Numbering { per_kind, reuse, first, .. } = self.numbering;
        let counter = &mut self.next[if per_kind { kind as usize } else { 0 }];
        let mut handle = if reuse { first } else { *counter };
        // Of numbers that are given out one after the other, none is taken before they begin anew.
        if reuse || self.wrapped {
            let taken = |entry: &Entry<T>, handle| entry.handle == handle && (!per_kind || entry.kind == kind);
            while self.entries.iter().any(|entry| entry.life == Life::Live && taken(entry, handle)) {
                handle = handle.wrapping_add(1);
            }
        }
        *counter = handle.wrapping_add(1);
        self.wrapped |= *counter == 0;
        self.entries.push(Entry { handle, kind, life: Life::Live, origin, object });
        handle
    }

    #[inline]
    pub(crate) fn get(&mut self, kind: Kind, handle: u32) -> Option<&mut Entry<T>> {
        find_live(&mut self.entries, kind, handle)
    }

    /// Takes a handle from the guest.
    #[inline]
    pub(crate) fn remove(&mut self, kind: Kind, handle: u32, end: Life) -> Option<&mut Entry<T>> {
        if self.dead >= 2 * REMEMBERED {
            self.forget();
        }
        let entry = find_live(&mut self.entries, kind, handle)?;
        entry.life = end;
        self.dead += 1;
        Some(entry)
    }

    /// Forgets the older ones of the past handles. This is done for many at a time, as it moves all that are left.
    #[cold]
    fn forget(&mut self) {
        self.entries.retain(|entry| {
            let forgotten = entry.life != Life::Live && self.dead > REMEMBERED;
            self.dead -= usize::from(forgotten);
            !forgotten
        });
    }

    /// Why there is no such handle.
    pub(crate) fn missing(&self, kind: Kind, handle: u32, call: &'static str) -> Violation {
        let per_kind = self.numbering.per_kind;
        let same = |entry: &&Entry<T>| entry.handle == handle;
        // A number given out again stands for the new thing only.
        let last = self.entries.iter().rev().filter(same).find(|entry| !per_kind || entry.kind == kind);
        let other = self.live().find(same);
        let (fault, origin) = match (last, other) {
            (Some(last), _) if last.kind == kind && last.life == Life::Consumed => {
                (Fault::ConsumedBefore, Some(last.origin))
            }
            (Some(last), _) if last.kind == kind => (Fault::DroppedBefore, Some(last.origin)),
            (_, Some(other)) => (Fault::WrongKind(other.kind), Some(other.origin)),
            _ => (Fault::Unknown, None),
        };
        Violation { fault, kind, handle, call, origin }
    }

    /// Whether the guest has no handle.
    pub(crate) fn is_empty(&self) -> bool {
        self.dead == self.entries.len()
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().filter(|entry| entry.life == Life::Live)
    }

    /// Forgets all handles, as a host does that drops an instance.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.dead = 0;
    }
}

/// The latest first: what a guest was given last it gives up first.
#[inline]
fn find_live<T>(entries: &mut [Entry<T>], kind: Kind, handle: u32) -> Option<&mut Entry<T>> {
    let wanted = |entry: &&mut Entry<T>| entry.handle == handle && entry.kind == kind && entry.life == Life::Live;
    entries.iter_mut().rev().find(wanted)
}
