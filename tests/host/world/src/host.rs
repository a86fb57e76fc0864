use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::accounts::{Fault, Kind, Origin, Violation};
use crate::content::Content;
use crate::personality::{
    AfterEnd, BadHandle, ConsumedPayload, End, Personality, Repeat, Size, SizeHint, Transfer, Writing,
};
use crate::table::{Entry, Life, Table};

/// A host of the world, without a guest: the draft's functions under the draft's names, on bare handles.
///
/// The SDK's `TestHost` drives a watcher against one natively, and `kvwatch` puts one behind a component. It behaves
/// as its [`Personality`] says and accounts for every handle.
///
/// An event goes: [`begin_set`](Self::begin_set) or [`begin_delete`](Self::begin_delete), the guest's calls,
/// [`end`](Self::end).
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
    table: Table<Object>,
    violations: Noted,
    /// How many values were made on this host.
    made: usize,
    /// How many of them were made before this event.
    made_before: usize,
    /// The handles from this serial number on belong to the event that is running. 0 means all.
    since: u64,
    /// How many bytes of written values are kept.
    kept: usize,
    values: Vec<Written>,
    buckets: Option<Vec<String>>,
    calls: u64,
    trapped: bool,
    random: u64,
    caller: Option<&'static Location<'static>>,
    keep: usize,
}

/// What a handle stands for.
#[derive(Debug)]
enum Object {
    Bucket,
    Error(String),
    Input(Input),
    Output(Output),
    /// Without its content once it was consumed.
    Payload {
        content: Option<Content>,
        len: u64,
    },
    Value {
        number: usize,
        body: Body,
    },
}

/// Whether `value-write-body` was called for a value.
#[derive(Clone, Copy, Debug)]
enum Body {
    Unopened,
    Refused,
    /// The stream of this handle writes the value, until the guest drops it.
    Stream(u32),
}

#[derive(Debug)]
struct Input {
    content: Content,
    offset: u64,
    empty: u32,
    ended: bool,
    failed: bool,
}

#[derive(Debug)]
struct Output {
    /// Which value it writes: counted from the first value of this host.
    number: usize,
    empty: u32,
    failed: bool,
}

/// The handles that a set gives a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Given {
    /// The bucket.
    pub bucket: u32,
    /// The payload.
    pub payload: u32,
}

/// What a guest wrote into one `Value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The bytes, up to the limit of [`Host::keep_written`].
    pub bytes: Vec<u8>,
    /// How many bytes were written in all.
    pub len: u64,
}

/// The `stream-error` of the draft, which says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamError;

/// A call that ends the guest: the host traps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trap(String);

/// What a call comes to: its result, or a trap.
pub type Called<T> = Result<T, Trap>;

/// What a stream call comes to.
pub type Streamed<T> = Called<Result<T, StreamError>>;

/// The violations of an event. Only the first ones are kept, so that a guest cannot fill the host's memory with them.
#[derive(Debug, Default)]
struct Noted {
    kept: Vec<Violation>,
    total: u64,
}

impl Noted {
    const MOST: usize = 64;

    fn note(&mut self, violation: Violation) {
        self.total += 1;
        if self.kept.len() < Self::MOST {
            self.kept.push(violation);
        }
    }

    fn take(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.kept)
    }
}

/// What is read next from an input stream.
struct Piece {
    len: u64,
    end: bool,
}

impl Host {
    /// A host with a personality.
    #[must_use]
    pub fn new(personality: Personality) -> Self {
        Self {
            table: Table::new(personality.numbering),
            // xorshift stands still at 0.
            random: personality.seed | 1 << 63,
            personality,
            violations: Noted::default(),
            made: 0,
            made_before: 0,
            since: 0,
            kept: 0,
            values: Vec::new(),
            buckets: None,
            calls: 0,
            trapped: false,
            caller: None,
            keep: 1024 * 1024,
        }
    }

    /// How it deviates.
    #[must_use]
    pub fn personality(&self) -> &Personality {
        &self.personality
    }

    /// Lets only these buckets be opened. Unless this is called, every name has a bucket.
    pub fn set_buckets<I: IntoIterator<Item: Into<String>>>(&mut self, names: I) {
        self.buckets = Some(names.into_iter().map(Into::into).collect());
    }

    /// Keeps only so many bytes of what is written to each value; 1 MiB unless this is called.
    pub fn keep_written(&mut self, bytes: usize) {
        self.keep = bytes;
    }

    /// What was written to the values of the last event, in the order in which they were made.
    #[must_use]
    pub fn values(&self) -> &[Written] {
        &self.values
    }

    /// What [`values`](Self::values) gives, and does from then on no longer.
    #[must_use]
    pub fn take_values(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.values)
    }

    /// How many calls the guest has made in the last event.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Whether the last event has trapped in a call.
    #[must_use]
    pub fn trapped(&self) -> bool {
        self.trapped
    }

    /// Starts a set: makes what `on-set` is given.
    #[inline]
    pub fn begin_set(&mut self, content: &Content) -> Given {
        self.begin();
        let bucket = self.insert(Kind::Bucket, "on-set", Object::Bucket);
        Given { bucket, payload: self.give_payload(content.clone()) }
    }

    /// Starts a delete: makes the bucket that `on-delete` is given.
    #[inline]
    pub fn begin_delete(&mut self) -> u32 {
        self.begin();
        self.insert(Kind::Bucket, "on-delete", Object::Bucket)
    }

    #[inline]
    fn begin(&mut self) {
        self.values.clear();
        (self.made_before, self.kept) = (self.made, 0);
        self.since = if self.table.is_empty() { 0 } else { self.table.serial() };
        self.trapped = false;
        self.violations.total = self.violations.kept.len() as u64;
        self.calls = 0;
        self.caller = None;
    }

    /// Ends the event of a guest that has returned: tells what it did wrong, and forgets the handles that it left.
    ///
    /// Handles that were made before the event stay, and are no leaks of it. Without an event, all handles are forgotten.
    #[inline]
    pub fn end(&mut self) -> Vec<Violation> {
        let since = std::mem::take(&mut self.since);
        if !self.trapped && !self.table.is_empty() {
            self.note_leaks(since);
        }
        self.table.clear(since);
        self.trapped = false;
        self.violations.take()
    }

    #[cold]
    fn note_leaks(&mut self, since: u64) {
        let leaked = |entry: &&Entry<Object>| !matches!(entry.object, Object::Payload { content: None, .. });
        let live = self.table.live_since(since);
        for entry in live.into_iter().filter(leaked) {
            let Entry { kind, handle, origin, .. } = *entry;
            let violation =
                Violation { fault: Fault::Leaked, kind, handle, call: "the end of the event", origin: Some(origin) };
            self.violations.note(violation);
        }
    }

    /// Ends the event of a guest that has trapped. What it still held is nobody's fault: no guest code runs after a trap.
    pub fn end_trapped(&mut self) -> Vec<Violation> {
        self.trapped = true;
        self.end()
    }

    /// How many violations there were in the last event, or since its end. [`end`](Self::end) gives the first 64 of them.
    ///
    /// ```
    /// use inbound_keyvalue_host::{Host, Personality};
    ///
    /// let mut host = Host::new(Personality::default());
    /// host.begin_delete();
    /// assert_eq!((host.end().len(), host.violation_count()), (1, 1));
    /// ```
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.violations.total
    }

    /// How many handles are live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.table.len()
    }

    /// Who makes the calls that follow, for the origin of the handles that they give.
    pub fn set_caller(&mut self, caller: &'static Location<'static>) {
        self.caller = Some(caller);
    }

    /// Ends what guest code can do, as a trap does: calls are answered with nothing, and not accounted for.
    pub fn set_trapped(&mut self) {
        self.trapped = true;
    }

    /// A bucket outside an event, for code that takes one.
    pub fn give_bucket(&mut self) -> u32 {
        self.insert(Kind::Bucket, "on-delete", Object::Bucket)
    }

    /// A payload outside an event, for code that takes one.
    #[inline]
    pub fn give_payload(&mut self, content: Content) -> u32 {
        let len = content.len();
        self.insert(Kind::Payload, "on-set", Object::Payload { content: Some(content), len })
    }

    #[inline]
    fn insert(&mut self, kind: Kind, call: &'static str, object: Object) -> u32 {
        self.table.insert(kind, Origin { call, location: self.caller }, object)
    }

    #[cold]
    fn error(&mut self, call: &'static str, trace: String) -> u32 {
        self.insert(Kind::Error, call, Object::Error(trace))
    }

    fn violate(&mut self, fault: Fault, kind: Kind, handle: u32, call: &'static str) {
        let origin = self.table.get(kind, handle).map(|entry| entry.origin);
        self.violations.note(Violation { fault, kind, handle, call, origin });
    }

    /// Notes a call with a handle that is not there, and traps if that is how this host is.
    #[cold]
    fn missing(&mut self, kind: Kind, handle: u32, call: &'static str) -> Called<()> {
        let violation = self.table.missing(kind, handle, call);
        let message = violation.to_string();
        self.violations.note(violation);
        match self.personality.bad_handle {
            BadHandle::Note => Ok(()),
            BadHandle::Trap => Err(self.trap(message)),
        }
    }

    fn trap(&mut self, message: String) -> Trap {
        self.trapped = true;
        Trap(message)
    }

    #[inline]
    fn drop_handle(&mut self, kind: Kind, handle: u32, call: &'static str) -> Called<()> {
        self.calls += 1;
        match self.table.remove(kind, handle, Life::Dropped) {
            Some(_) => Ok(()),
            None => self.missing(kind, handle, call),
        }
    }

    /// A number from 1 to `most`.
    fn random(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % most.max(1) + 1
    }

    fn part(&mut self, size: Size, of: u64) -> u64 {
        match size {
            Size::Full => of,
            Size::Fixed(most) => of.min(most),
            // Mostly small, now and then all.
            Size::Random => {
                let most = if self.random(4) == 1 { of } else { of.min(4096) };
                self.random(most).min(of)
            }
        }
    }
}

/// The interface `wasi-io`.
impl Host {
    /// `read`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn read(&mut self, src: u32, len: u64) -> Streamed<(Vec<u8>, bool)> {
        self.calls += 1;
        let Some(piece) = self.next_piece("read", src, len)? else { return Ok(Err(StreamError)) };
        let excess = self.personality.read.excess;
        let Some(input) = self.input(src) else { return Ok(Err(StreamError)) };
        let Ok(mut data) = input.content.read(input.offset, piece.len) else {
            input.failed = true;
            return Ok(Err(StreamError));
        };
        input.offset += piece.len;
        if excess > 0 && !data.is_empty() {
            // No host can answer with more than this, whatever it is asked for.
            let answer = len.saturating_add(excess).min(MOST_ANSWERED).max(piece.len);
            data.resize(usize::try_from(answer).unwrap_or(data.len()), b'+');
        }
        Ok(Ok((data, piece.end)))
    }

    /// `skip`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn skip(&mut self, src: u32, len: u64) -> Streamed<(u64, bool)> {
        self.calls += 1;
        let Some(piece) = self.next_piece("skip", src, len)? else { return Ok(Err(StreamError)) };
        let excess = self.personality.read.excess;
        if let Some(input) = self.input(src) {
            input.offset += piece.len;
        }
        let skipped = if excess > 0 && piece.len > 0 { len.saturating_add(excess) } else { piece.len };
        Ok(Ok((skipped, piece.end)))
    }

    /// `write`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn write(&mut self, dst: u32, buf: &[u8]) -> Streamed<u64> {
        self.calls += 1;
        let Some(taken) = self.next_room("write", dst, buf.len() as u64)? else { return Ok(Err(StreamError)) };
        self.store(dst, &buf[..usize::try_from(taken).unwrap_or(0)]);
        Ok(Ok(self.claimed(taken, buf.len() as u64)))
    }

    /// `write-repeated`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn write_repeated(&mut self, dst: u32, byte: u8, len: u64) -> Streamed<u64> {
        self.calls += 1;
        // A host does not make up gigabytes in one go.
        let most = len.min(1024 * 1024);
        let Some(taken) = self.next_room("write-repeated", dst, most)? else { return Ok(Err(StreamError)) };
        self.store(dst, &vec![byte; usize::try_from(taken).unwrap_or(0)]);
        Ok(Ok(self.claimed(taken, len)))
    }

    /// `splice`
    ///
    /// # Errors
    ///
    /// A trap, where a handle is bad or the host has no `splice`.
    pub fn splice(&mut self, dst: u32, src: u32, len: u64) -> Streamed<(u64, bool)> {
        self.calls += 1;
        self.transfer("splice")?;
        let Some(piece) = self.next_piece("splice", src, len.min(1024 * 1024))? else { return Ok(Err(StreamError)) };
        let moved = self.pass("splice", dst, src, piece.len)?;
        let Some(moved) = moved else { return Ok(Err(StreamError)) };
        let end = piece.end && moved == piece.len;
        if let Some(input) = self.input(src) {
            input.ended = end;
        }
        let excess = self.personality.read.excess;
        let claimed = if excess > 0 && moved > 0 { len.saturating_add(excess) } else { moved };
        Ok(Ok((claimed, end)))
    }

    /// `forward`
    ///
    /// # Errors
    ///
    /// A trap, where a handle is bad or the host has no `forward`.
    pub fn forward(&mut self, dst: u32, src: u32) -> Streamed<u64> {
        self.calls += 1;
        self.transfer("forward")?;
        let mut forwarded = 0;
        let mut idle = 0_u32;
        loop {
            let Some(piece) = self.next_piece("forward", src, 1024 * 1024)? else { return Ok(Err(StreamError)) };
            let moved = self.pass("forward", dst, src, piece.len)?;
            let Some(moved) = moved else { return Ok(Err(StreamError)) };
            forwarded += moved;
            if piece.end && moved == piece.len {
                if let Some(input) = self.input(src) {
                    input.ended = true;
                }
                return Ok(Ok(forwarded));
            }
            // A host that waits for ever would hang, and the draft lets it fail instead.
            idle = if moved == 0 { idle + 1 } else { 0 };
            if idle > 100_000 {
                return Ok(Err(StreamError));
            }
        }
    }

    /// `drop-input-stream`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    #[inline]
    pub fn drop_input_stream(&mut self, f: u32) -> Called<()> {
        self.drop_handle(Kind::InputStream, f, "drop-input-stream")
    }

    /// `drop-output-stream`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn drop_output_stream(&mut self, f: u32) -> Called<()> {
        self.drop_handle(Kind::OutputStream, f, "drop-output-stream")
    }

    fn input(&mut self, src: u32) -> Option<&mut Input> {
        match self.table.get(Kind::InputStream, src).map(|entry| &mut entry.object) {
            Some(Object::Input(input)) => Some(input),
            _ => None,
        }
    }

    fn output(&mut self, dst: u32) -> Option<&mut Output> {
        match self.table.get(Kind::OutputStream, dst).map(|entry| &mut entry.object) {
            Some(Object::Output(output)) => Some(output),
            _ => None,
        }
    }

    /// How much a call with `src` goes on by; `None` where it fails.
    fn next_piece(&mut self, call: &'static str, src: u32, len: u64) -> Called<Option<Piece>> {
        let Some(&mut Input { ref content, offset, ended, failed, .. }) = self.input(src) else {
            self.missing(Kind::InputStream, src, call)?;
            return Ok(None);
        };
        let total = content.len();
        if len == 0 {
            self.violate(Fault::Empty, Kind::InputStream, src, call);
        }
        if call == "read" && len > MOST_ASKED {
            self.violate(Fault::Unbounded, Kind::InputStream, src, call);
        }
        if failed {
            self.violate(Fault::UsedAfterFailure, Kind::InputStream, src, call);
            return Ok(None);
        }
        let mut offset = offset;
        if ended {
            self.violate(Fault::ReadAfterEnd, Kind::InputStream, src, call);
            match self.personality.read.after_end {
                AfterEnd::End => return Ok(Some(Piece { len: 0, end: true })),
                AfterEnd::Repeats => offset = 0,
            }
        }

        let reading = &self.personality.read;
        let (size, end, error_at, most) = (reading.size, reading.end, reading.error_at, reading.most);
        let idle = reading.empty;
        let Some(input) = self.input(src) else { return Ok(None) };
        input.offset = offset;
        input.ended = false;
        if !take_turn(&mut input.empty, idle) {
            return Ok(Some(Piece { len: 0, end: false }));
        }
        if error_at.is_some_and(|at| offset >= at) {
            input.failed = true;
            return Ok(None);
        }
        let left = total - offset;
        let before_error = error_at.map_or(u64::MAX, |at| at - offset);
        let mut now = len.min(left).min(most).min(before_error);
        if now > 0 {
            now = self.part(size, now);
        }
        let end = match end {
            End::WithData => now == left,
            End::Alone => left == 0,
        };
        // A read of nothing is no way to learn of the end.
        let end = end && (len > 0 || left == 0);
        if let Some(input) = self.input(src) {
            input.ended = end;
        }
        Ok(Some(Piece { len: now, end }))
    }

    /// How much of `len` bytes is taken; `None` where the call fails.
    fn next_room(&mut self, call: &'static str, dst: u32, len: u64) -> Called<Option<u64>> {
        let Some(&mut Output { number, failed, .. }) = self.output(dst) else {
            self.missing(Kind::OutputStream, dst, call)?;
            return Ok(None);
        };
        if len == 0 {
            self.violate(Fault::Empty, Kind::OutputStream, dst, call);
        }
        if failed {
            self.violate(Fault::UsedAfterFailure, Kind::OutputStream, dst, call);
            return Ok(None);
        }
        let Writing { size, empty, error_at, .. } = self.personality.write;
        let written = self.values.get(number).map_or(0, |value| value.len);
        let Some(output) = self.output(dst) else { return Ok(None) };
        if !take_turn(&mut output.empty, empty) {
            return Ok(Some(0));
        }
        if error_at.is_some_and(|at| written >= at) {
            output.failed = true;
            return Ok(None);
        }
        let room = len.min(error_at.map_or(u64::MAX, |at| at - written));
        Ok(Some(if room > 0 { self.part(size, room) } else { 0 }))
    }

    /// What it says to have taken.
    fn claimed(&self, taken: u64, given: u64) -> u64 {
        let excess = self.personality.write.excess;
        if excess > 0 && taken > 0 { given.saturating_add(excess) } else { taken }
    }

    fn store(&mut self, dst: u32, bytes: &[u8]) {
        let keep = self.keep;
        // A value from before the event is not among the event's values.
        let Some(output) = self.output(dst) else { return };
        let Some(number) = output.number.checked_sub(self.made_before) else { return };
        let kept = &mut self.kept;
        if let Some(value) = self.values.get_mut(number) {
            value.len += bytes.len() as u64;
            let room = keep.saturating_sub(value.bytes.len()).min(MOST_KEPT.saturating_sub(*kept)).min(bytes.len());
            value.bytes.extend_from_slice(&bytes[..room]);
            *kept += room;
        }
    }

    fn transfer(&mut self, call: &'static str) -> Called<()> {
        match self.personality.transfer {
            Transfer::Works => Ok(()),
            Transfer::Traps => Err(self.trap(format!("`{call}` is not implemented by this host"))),
        }
    }

    /// Moves up to `len` bytes from one stream to the other; `None` where either fails.
    fn pass(&mut self, call: &'static str, dst: u32, src: u32, len: u64) -> Called<Option<u64>> {
        if len == 0 {
            return Ok(Some(0));
        }
        // Until the output has taken all of it, the input is not at its end: the guest can still read the rest.
        if let Some(input) = self.input(src) {
            input.ended = false;
        }
        let Some(taken) = self.next_room(call, dst, len)? else { return Ok(None) };
        let Some(input) = self.input(src) else { return Ok(None) };
        let Ok(data) = input.content.read(input.offset, taken) else {
            input.failed = true;
            return Ok(None);
        };
        input.offset += taken;
        self.store(dst, &data);
        Ok(Some(taken))
    }
}

/// The most bytes that a `read` answers with, even if the personality has an excess.
const MOST_ANSWERED: u64 = 32 * 1024 * 1024;

/// The host shows this many values of an event, and this many of their bytes. It counts the length of each shown value in full.
const MOST_VALUES: usize = 4096;
const MOST_KEPT: usize = 64 * 1024 * 1024;

/// The most that a read may ask for. Some hosts allocate what they are asked for.
const MOST_ASKED: u64 = 16 * 1024 * 1024;

/// Whether it is time for something to happen, after as many times of nothing as there are to be.
fn take_turn(turns: &mut u32, idle: Repeat) -> bool {
    match idle {
        Repeat::Forever => false,
        Repeat::Times(times) if *turns < times => {
            *turns += 1;
            false
        }
        Repeat::Times(_) => {
            *turns = 0;
            true
        }
    }
}

/// The two ways to consume a payload.
#[derive(Clone, Copy)]
enum Consume {
    Sync,
    Async,
}

impl Consume {
    fn call(self) -> &'static str {
        match self {
            Self::Sync => "payload-consume-sync",
            Self::Async => "payload-consume-async",
        }
    }

    fn refusal(self, personality: &Personality) -> Option<&String> {
        match self {
            Self::Sync => personality.consume_sync_error.as_ref(),
            Self::Async => personality.consume_async_error.as_ref(),
        }
    }
}

/// The interface `types`.
impl Host {
    /// `drop-bucket`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    #[inline]
    pub fn drop_bucket(&mut self, bucket: u32) -> Called<()> {
        self.drop_handle(Kind::Bucket, bucket, "drop-bucket")
    }

    /// `open-bucket`
    ///
    /// # Errors
    ///
    /// Never; it could trap.
    pub fn open_bucket(&mut self, name: &str) -> Called<Result<u32, u32>> {
        self.calls += 1;
        if let Some(trace) = self.personality.open_bucket_error.clone() {
            return Ok(Err(self.error("open-bucket", trace)));
        }
        if self.buckets.as_ref().is_some_and(|buckets| !buckets.iter().any(|bucket| bucket == name)) {
            return Ok(Err(self.error("open-bucket", format!("there is no bucket {name:?}"))));
        }
        Ok(Ok(self.insert(Kind::Bucket, "open-bucket", Object::Bucket)))
    }

    /// `drop-error`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn drop_error(&mut self, error: u32) -> Called<()> {
        self.drop_handle(Kind::Error, error, "drop-error")
    }

    /// `new-error`
    ///
    /// # Errors
    ///
    /// Never; it could trap.
    pub fn new_error(&mut self) -> Called<u32> {
        self.calls += 1;
        Ok(self.error("new-error", String::new()))
    }

    /// `trace`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn trace(&mut self, error: u32) -> Called<String> {
        self.calls += 1;
        match self.table.get(Kind::Error, error).map(|entry| &entry.object) {
            Some(Object::Error(trace)) => Ok(trace.clone()),
            _ => self.missing(Kind::Error, error, "trace").map(|()| String::new()),
        }
    }

    /// `drop-value`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn drop_value(&mut self, value: u32) -> Called<()> {
        let (number, stream) = match self.table.get(Kind::Value, value).map(|entry| &entry.object) {
            Some(&Object::Value { number, body: Body::Stream(stream) }) => (Some(number), stream),
            _ => (None, 0),
        };
        // A later stream can have the same handle, so the value that it writes is compared as well.
        if number.is_some() && self.output(stream).map(|output| output.number) == number {
            self.violate(Fault::ParentFirst, Kind::Value, value, "drop-value");
        }
        self.drop_handle(Kind::Value, value, "drop-value")
    }

    /// `new-value`
    ///
    /// # Errors
    ///
    /// Never; it could trap.
    pub fn new_value(&mut self) -> Called<u32> {
        self.calls += 1;
        let number = self.made;
        self.made += 1;
        if number - self.made_before == self.values.len() && self.values.len() < MOST_VALUES {
            self.values.push(Written::default());
        }
        Ok(self.insert(Kind::Value, "new-value", Object::Value { number, body: Body::Unopened }))
    }

    /// `value-write-body`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn value_write_body(&mut self, value: u32) -> Called<Result<u32, ()>> {
        self.calls += 1;
        let Some(Object::Value { number, body }) = self.table.get(Kind::Value, value).map(|entry| &mut entry.object)
        else {
            return self.missing(Kind::Value, value, "value-write-body").map(|()| Err(()));
        };
        let number = *number;
        if !matches!(body, Body::Unopened) {
            self.violate(Fault::BodyAgain, Kind::Value, value, "value-write-body");
            return Ok(Err(()));
        }
        *body = Body::Refused;
        if self.personality.value_body_error {
            return Ok(Err(()));
        }
        let output = Output { number, empty: 0, failed: false };
        let stream = self.insert(Kind::OutputStream, "value-write-body", Object::Output(output));
        if let Some(Object::Value { body, .. }) = self.table.get(Kind::Value, value).map(|entry| &mut entry.object) {
            *body = Body::Stream(stream);
        }
        Ok(Ok(stream))
    }

    /// `drop-payload`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    #[inline]
    pub fn drop_payload(&mut self, payload: u32) -> Called<()> {
        if let Some(Object::Payload { content: None, .. }) =
            self.table.get(Kind::Payload, payload).map(|entry| &entry.object)
        {
            self.violate(Fault::ConsumedBefore, Kind::Payload, payload, "drop-payload");
        }
        self.drop_handle(Kind::Payload, payload, "drop-payload")
    }

    /// `payload-consume-sync`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    #[inline]
    pub fn payload_consume_sync(&mut self, payload: u32) -> Called<Result<Arc<[u8]>, u32>> {
        let Some(content) = self.consume(Consume::Sync, payload) else {
            return self.refuse(Consume::Sync, payload).map(Err);
        };
        match content.into_whole() {
            Ok(data) => Ok(Ok(data)),
            Err(error) => Ok(Err(self.error("payload-consume-sync", error.to_string()))),
        }
    }

    /// `payload-consume-async`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    #[inline]
    pub fn payload_consume_async(&mut self, payload: u32) -> Called<Result<u32, u32>> {
        let Some(content) = self.consume(Consume::Async, payload) else {
            return self.refuse(Consume::Async, payload).map(Err);
        };
        let input = Input { content, offset: 0, empty: 0, ended: false, failed: false };
        Ok(Ok(self.insert(Kind::InputStream, "payload-consume-async", Object::Input(input))))
    }

    /// `size`
    ///
    /// # Errors
    ///
    /// A trap, where the handle is bad.
    pub fn size(&mut self, payload: u32) -> Called<u64> {
        self.calls += 1;
        let Some(&mut Object::Payload { ref content, len }) =
            self.table.get(Kind::Payload, payload).map(|entry| &mut entry.object)
        else {
            return self.missing(Kind::Payload, payload, "size").map(|()| 0);
        };
        if content.is_none() {
            self.violate(Fault::ConsumedBefore, Kind::Payload, payload, "size");
        }
        Ok(match self.personality.size {
            SizeHint::True => len,
            SizeHint::Zero => 0,
            SizeHint::Smaller => len / 2,
            SizeHint::Larger => len.saturating_mul(2).saturating_add(1),
            SizeHint::Max => u64::MAX,
        })
    }

    /// What is consumed, unless this host refuses that or there is nothing.
    #[inline]
    fn consume(&mut self, how: Consume, payload: u32) -> Option<Content> {
        self.calls += 1;
        if how.refusal(&self.personality).is_none() { self.take_content(payload) } else { None }
    }

    /// A payload's content, which it has no longer then.
    #[inline]
    fn take_content(&mut self, payload: u32) -> Option<Content> {
        match self.personality.consumed_payload {
            ConsumedPayload::Gone => match self.table.remove(Kind::Payload, payload, Life::Consumed)?.object {
                Object::Payload { content, .. } => content,
                _ => None,
            },
            ConsumedPayload::Stays => match &mut self.table.get(Kind::Payload, payload)?.object {
                Object::Payload { content, .. } => content.take(),
                _ => None,
            },
        }
    }

    /// Why nothing was consumed, as an error for the guest.
    #[cold]
    fn refuse(&mut self, how: Consume, payload: u32) -> Called<u32> {
        if let Some(trace) = how.refusal(&self.personality).cloned() {
            // A payload is consumed by being refused too.
            if self.take_content(payload).is_some() {
                return Ok(self.error(how.call(), trace));
            }
        }
        if self.table.get(Kind::Payload, payload).is_some() {
            self.violate(Fault::ConsumedBefore, Kind::Payload, payload, how.call());
        } else {
            self.missing(Kind::Payload, payload, how.call())?;
        }
        Ok(self.error(how.call(), format!("payload {payload} is not there to be consumed")))
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stream-error")
    }
}

impl std::error::Error for StreamError {}
