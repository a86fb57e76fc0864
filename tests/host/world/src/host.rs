//! The host's state, and an event from its begin to its end. Each interface of the draft has a file of its own.

mod changes;
pub(crate) mod decorator;
mod limits;
pub(crate) mod object;
mod outbound;
mod reply;
mod types;
mod wasi_io;
mod written;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::accounts::{Fault, HandleKind, Origin, Violation, Violations};
use crate::content::Content;
use crate::personality::Personality;
use crate::store::Store;
use crate::table::{Life, Made, Table};

use changes::Changes;
pub use changes::StoreChange;
use decorator::Decorator;
pub use limits::HostLimits;
use limits::Interrupt;
use object::{Object, Output, Payload};
pub use outbound::{AnsweredCall, EVENT_BUCKET, PendingCall};
pub use reply::Reply;
use written::Bodies;
pub use written::Written;

/// A host of the world, without a guest. It has the draft's functions under the draft's names, on bare handles.
///
/// The SDK's `TestHost` runs a watcher on it natively, and `kvwatch` runs a component on it. It accounts for every handle. It
/// behaves well, except for the changes by the decorators of its [`Personality`].
///
/// An event starts with [`begin_set`](Self::begin_set) or [`begin_delete`](Self::begin_delete). Then the guest calls the draft's
/// functions. [`end`](Self::end) ends the event.
///
/// ```
/// use inbound_keyvalue_host::{Content, Host, Personality};
///
/// let mut host = Host::new(Personality::default());
/// let given = host.begin_set(&Content::from("hello"));
/// assert_eq!(*host.payload_consume_sync(given.payload)?.unwrap(), *b"hello");
/// let violations = host.end();
/// assert_eq!(violations[0].to_string(), "bucket 3 was never dropped (from `on-set`)");
/// # Ok::<(), inbound_keyvalue_host::Trap>(())
/// ```
#[derive(Debug)]
pub struct Host {
    personality: Personality,
    /// The changes of the personality, from the innermost decorator to the outermost. A well-behaved host has none.
    decorators: Vec<Box<dyn Decorator>>,
    table: Table<Object>,
    violations: Violations,
    details: Details,
    limits: HostLimits,
    interrupt: Option<Interrupt>,
    written: Bodies,
    /// The number of values that the guest has made in this event.
    values_made: u64,
    /// The handles from this serial number on belong to the event that is running. 0 means all.
    since: u64,
    /// The most bytes of each value that are kept.
    keep: usize,
    /// The most bytes that one `read` or `skip` takes.
    most_read: u64,
    /// The sum of [`Object::bytes`] of all live handles.
    object_bytes: u64,
    buckets: Option<Vec<String>>,
    /// The bucket that events come from, if it was set.
    event_bucket: Option<Arc<str>>,
    /// The store behind this host, made at its first use unless it was set.
    store: Option<Arc<dyn Store>>,
    changes: Changes,
    calls: u64,
    trapped: bool,
    /// The place in the code that makes the calls, in native tests.
    caller: Option<&'static Location<'static>>,
}

/// Whether a host keeps details of an event for the program that runs the guest. The host counts in both cases, and the guest
/// sees no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Details {
    /// The host keeps the first 64 violations of an event, and the first 4096 values that the guest wrote.
    #[default]
    Collected,
    /// The host keeps nothing: [`Host::end`] returns no violations, and [`Host::values`] no values. Use it for a host that runs
    /// for a long time.
    Counted,
}

/// The handles that a guest gets with a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetHandles {
    /// The bucket.
    pub bucket: u32,
    /// The payload.
    pub payload: u32,
}

/// The `stream-error` of the draft. It has no details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError;

/// A call that ends the guest: the host traps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trap(String);

/// The result of a call, or a trap.
pub type CallResult<T> = Result<T, Trap>;

/// The result of a call on a stream, or a trap.
pub type StreamResult<T> = CallResult<Result<T, StreamError>>;

impl Host {
    /// A host with a personality.
    #[must_use]
    pub fn new(personality: Personality) -> Self {
        Self {
            table: Table::new(personality.numbering),
            decorators: personality.decorators(),
            most_read: personality.read.most,
            personality,
            violations: Violations::default(),
            details: Details::default(),
            limits: HostLimits::default(),
            interrupt: None,
            written: Bodies::default(),
            values_made: 0,
            since: 0,
            keep: 1024 * 1024,
            object_bytes: 0,
            buckets: None,
            event_bucket: None,
            store: None,
            changes: Changes::default(),
            calls: 0,
            trapped: false,
            caller: None,
        }
    }

    /// The deviations of this host from a well-behaved one.
    #[must_use]
    pub fn personality(&self) -> &Personality {
        &self.personality
    }

    /// Lets only these buckets be opened. Unless this is called, every name has a bucket.
    pub fn set_buckets<I: IntoIterator<Item: Into<String>>>(&mut self, names: I) {
        self.buckets = Some(names.into_iter().map(Into::into).collect());
    }

    /// Keeps at most `bytes` of each value. The default is 1 MiB. The length of a value is counted in full.
    pub fn keep_written(&mut self, bytes: usize) {
        self.keep = bytes;
    }

    /// Sets whether this host keeps details of later events. The default is [`Details::Collected`].
    ///
    /// ```
    /// use inbound_keyvalue_host::{Details, Host, Personality};
    ///
    /// let mut host = Host::new(Personality::default());
    /// host.set_details(Details::Counted);
    /// host.begin_delete();
    /// assert_eq!((host.end().len(), host.violation_count()), (0, 1));
    /// ```
    pub fn set_details(&mut self, details: Details) {
        self.details = details;
        self.violations.set_keep(details == Details::Collected);
    }

    /// The values that the guest wrote in the last event, in the order in which it made them: the first 4096 of them, and 64 MiB
    /// of their bytes. There are none with [`Details::Counted`].
    #[must_use]
    #[inline]
    pub fn values(&self) -> &[Written] {
        self.written.collected()
    }

    /// The values that [`values`](Self::values) returns. The host does not keep them any longer.
    #[must_use]
    #[inline]
    pub fn take_values(&mut self) -> Vec<Written> {
        if self.written.is_empty() { Vec::new() } else { self.written.take() }
    }

    /// The number of values that the guest made in the last event.
    #[must_use]
    pub fn value_count(&self) -> u64 {
        self.values_made
    }

    /// The number of calls that the guest made in the last event.
    #[must_use]
    #[inline]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether the last event has trapped in a call.
    #[must_use]
    pub fn trapped(&self) -> bool {
        self.trapped
    }

    /// Starts a set. Makes the handles that the host passes to `on-set`.
    #[inline]
    pub fn begin_set(&mut self, content: &Content) -> SetHandles {
        // The clone waits for all earlier writes to memory, so it comes before the writes of this function.
        let content = content.clone();
        self.begin();
        let bucket = self.insert(HandleKind::Bucket, "on-set", Object::Bucket(None));
        SetHandles { bucket, payload: self.make_payload(content) }
    }

    /// Starts a delete. Makes the bucket that the host passes to `on-delete`.
    #[inline]
    pub fn begin_delete(&mut self) -> u32 {
        self.begin();
        self.insert(HandleKind::Bucket, "on-delete", Object::Bucket(None))
    }

    #[inline]
    fn begin(&mut self) {
        self.written.begin();
        self.changes.begin();
        self.values_made = 0;
        self.violations.begin();
        self.since = if self.table.is_empty() { 0 } else { self.table.serial() };
        self.trapped = false;
        self.calls = 0;
        self.caller = None;
    }

    /// Ends the event of a guest that has returned. Returns its violations, and forgets the handles that it left.
    ///
    /// Handles that were made before the event stay. They are not leaks of this event. If there is no event, all handles are
    /// forgotten.
    #[inline]
    pub fn end(&mut self) -> Vec<Violation> {
        let since = std::mem::take(&mut self.since);
        if !self.table.is_empty() {
            self.end_with_handles(since);
        }
        self.table.clear(since);
        if !self.written.is_empty() {
            self.written.end(self.limits.bytes);
        }
        self.object_bytes = if self.table.is_empty() { 0 } else { self.live_object_bytes() };
        self.trapped = false;
        self.violations.take()
    }

    /// Ends an event that has left handles.
    #[cold]
    fn end_with_handles(&mut self, since: u64) {
        if !self.trapped {
            self.note_leaks(since);
        }
        if !self.decorators.is_empty() {
            let gone: Vec<_> = self.table.live_since(since).iter().map(|(made, _)| (made.kind, made.handle)).collect();
            for (kind, handle) in gone {
                self.handle_gone(kind, handle);
            }
        }
    }

    #[cold]
    fn live_object_bytes(&self) -> u64 {
        self.table.objects().map(Object::bytes).sum()
    }

    fn note_leaks(&mut self, since: u64) {
        let leaked = |(_, object): &(&Made, &Object)| !matches!(object, Object::Spent);
        if self.details == Details::Counted {
            let leaks = self.table.live_since(since).into_iter().filter(leaked).count();
            return self.violations.count(leaks as u64);
        }
        let call = "the end of the event";
        for (made, _) in self.table.live_since(since).into_iter().filter(leaked) {
            let Made { kind, handle, origin, .. } = *made;
            self.violations.note(Violation { fault: Fault::Leaked, kind, handle, call, origin: Some(origin) });
        }
    }

    /// Ends the event of a guest that has trapped. Its live handles are not violations, because no guest code runs after a trap.
    pub fn end_trapped(&mut self) -> Vec<Violation> {
        self.trapped = true;
        self.end()
    }

    /// The number of violations in the last event, or since its end. [`end`](Self::end) returns the first 64 of them.
    ///
    /// ```
    /// use inbound_keyvalue_host::{Host, Personality};
    ///
    /// let mut host = Host::new(Personality::default());
    /// host.begin_delete();
    /// assert_eq!((host.end().len(), host.violation_count()), (1, 1));
    /// ```
    #[must_use]
    #[inline]
    pub fn violation_count(&self) -> u64 {
        self.violations.total()
    }

    /// The number of live handles.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.len()
    }

    /// Sets the place in the code that makes the next calls. The origin of their handles names it.
    pub fn set_caller(&mut self, caller: &'static Location<'static>) {
        self.caller = Some(caller);
    }

    /// Marks the event as trapped. [`end`](Self::end) then reports no leaks.
    pub fn set_trapped(&mut self) {
        self.trapped = true;
    }

    /// Makes a bucket outside an event, for code that takes one.
    pub fn make_bucket(&mut self) -> u32 {
        self.insert(HandleKind::Bucket, "on-delete", Object::Bucket(None))
    }

    /// Makes a payload outside an event, for code that takes one.
    #[inline]
    pub fn make_payload(&mut self, content: Content) -> u32 {
        self.insert(HandleKind::Payload, "on-set", Object::Payload(Payload { content, kept: 0 }))
    }

    /// Makes a handle that the host passes to the guest. No limit applies.
    #[inline]
    fn insert(&mut self, kind: HandleKind, call: &'static str, object: Object) -> u32 {
        self.table.insert(kind, Origin { call, location: self.caller }, object)
    }

    /// Makes a handle that the guest asked for, within the limits.
    #[inline]
    fn make(&mut self, kind: HandleKind, call: &'static str, object: Object) -> CallResult<u32> {
        let bytes = object.bytes();
        self.admit_handle(call, bytes)?;
        self.object_bytes += bytes;
        Ok(self.insert(kind, call, object))
    }

    /// Makes an error, within the limits.
    #[cold]
    fn error(&mut self, call: &'static str, trace: String) -> CallResult<u32> {
        self.make(HandleKind::Error, call, Object::Error(trace))
    }

    /// Notes a violation with a handle that exists.
    pub(crate) fn violate(&mut self, fault: Fault, kind: HandleKind, handle: u32, call: &'static str) {
        let origin = self.table.origin(kind, handle);
        self.note(Violation { fault, kind, handle, call, origin });
    }

    /// Notes a violation.
    pub(crate) fn note(&mut self, violation: Violation) {
        self.violations.note(violation);
    }

    /// Answers a call with a handle that does not exist. After `Ok`, the call returns its failure, or nothing if it has none.
    #[cold]
    fn missing(&mut self, kind: HandleKind, handle: u32, call: &'static str) -> CallResult<()> {
        let violation = self.table.missing(kind, handle, call);
        self.decorated(|host| host.bad_handle(violation))
    }

    fn trap_bad_handle(&mut self, violation: Violation) -> CallResult<()> {
        let message = violation.to_string();
        self.note(violation);
        Err(self.trap(message))
    }

    pub(crate) fn trap(&mut self, message: String) -> Trap {
        self.trapped = true;
        Trap(message)
    }

    #[inline]
    fn drop_handle(&mut self, kind: HandleKind, handle: u32, call: &'static str) -> CallResult<()> {
        self.calls += 1;
        match self.remove_handle(kind, handle) {
            Some(()) => {
                self.handle_gone(kind, handle);
                Ok(())
            }
            None => self.missing(kind, handle, call),
        }
    }

    /// Removes a handle that the guest drops. `None` if the guest has no such handle.
    #[inline]
    fn remove_handle(&mut self, kind: HandleKind, handle: u32) -> Option<()> {
        let object = self.table.remove(kind, handle, Life::Dropped)?;
        if let Object::Bucket(None) = object {
            // The host keeps nothing for the bucket of an event. The compiler would call the code that drops any object.
            std::mem::forget(object);
        } else {
            self.release(&object);
        }
        Some(())
    }

    /// Accounts for an object whose handle is gone.
    fn release(&mut self, object: &Object) {
        self.object_bytes = self.object_bytes.saturating_sub(object.bytes());
        if let Object::Output(Output { number, .. }) | Object::Value { number, .. } = object {
            self.written.release(*number, self.limits.bytes);
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stream-error")
    }
}

impl std::error::Error for StreamError {}
