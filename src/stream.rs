use std::io::{self, BufRead, Read, Write};
use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes};

use crate::Error;
use crate::buffer::Buffer;
use crate::error::Call;
use crate::handle::{Handle, InputStreamKind, OutputStreamKind};
use crate::sys::wasi_io::{self, StreamError};

/// The most that one read asks the host for, in bytes: 64 KiB.
///
/// The draft lets a guest ask for any length, and some hosts allocate what they are asked for.
pub const MAX_READ: usize = 64 * 1024;

/// Less room than this is filled through a chunk: a call to the host for each few bytes would cost more than the copy.
const DIRECT: usize = 4 * 1024;

/// How many times in a row a host is asked that answers with nothing: 32.
///
/// A read that brings neither data nor the end is asked again, and ends in [`Error::NotReady`]
/// ([`WouldBlock`](io::ErrorKind::WouldBlock)). A write of which the host takes no byte is asked again, and ends in
/// [`Error::WriteZero`] ([`WriteZero`](io::ErrorKind::WriteZero)). The draft has no way to wait, so it is a bound on calls and
/// not on time. Any progress starts the count anew.
pub const MAX_ATTEMPTS: u32 = 32;

/// The bytes of a payload as they come: the draft's `input-stream`.
///
/// [`Payload::into_stream`](crate::Payload::into_stream) makes one. Choose by what the bytes are for:
///
/// | to | use | a copy in the guest |
/// |---|---|---|
/// | go through text, or anything in small steps | [`BufRead`], such as [`lines`](BufRead::lines) | none but the line |
/// | hand pieces on, or keep them | [`chunk`](Self::chunk), [`chunks`](Self::chunks) | none |
/// | fill a buffer of your own | [`Read`] | none, from 4 KiB on: the host writes into the buffer |
/// | copy to a [`Value`](crate::Value) on any host | [`io::copy`] | one |
/// | copy to a [`Value`](crate::Value), host-side | [`OutputStream::forward`], [`OutputStream::splice`] | none, and no byte enters the guest |
///
/// Of what was taken from the host and not given out yet, the stream holds one chunk of up to [`MAX_READ`] bytes: all that
/// `BufRead` looks at, and what reads into small buffers are served from. A [`BufReader`](io::BufReader) around it gains nothing.
/// When the stream is dropped, the memory of that chunk is kept for the next one: an instance has one such chunk to spare at most.
///
/// Once the stream has ended it is never read again, and reads give nothing. Once it has failed it is never touched again, and
/// reads give the same error. Dropping it calls `drop-input-stream`, once.
///
/// ```
/// use std::io::BufRead;
/// use inbound_keyvalue::{HandlerResult, Payload};
///
/// fn count_lines(payload: Payload) -> HandlerResult {
///     let mut lines = 0_u64;
///     for line in payload.into_stream()?.lines() {
///         line?;
///         lines += 1;
///     }
///     println!("{lines} lines");
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct InputStream {
    host: Host,
    buffer: Buffer,
}

/// The host's side of an input stream.
#[derive(Debug)]
struct Host {
    handle: Handle<InputStreamKind>,
    state: State,
}

// A tag of its own: one that shares a byte with the failure's has to be worked out at every call.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum State {
    Open,
    Ended,
    Failed(Failure),
}

/// Why a stream is of no more use, so that it can be said again.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Stream(Call),
    Excess { call: Call, asked: u64, answered: u64 },
}

impl From<Failure> for Error {
    #[cold]
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stream(call) => Self::Stream { call },
            Failure::Excess { call, asked, answered } => Self::Excess { call, asked, answered },
        }
    }
}

/// How much an answer of the host's brought.
trait Length {
    fn length(&self) -> u64;
}

impl Length for Option<Vec<u8>> {
    #[inline]
    fn length(&self) -> u64 {
        self.as_ref().map_or(0, |list| list.len() as u64)
    }
}

impl Length for usize {
    #[inline]
    fn length(&self) -> u64 {
        *self as u64
    }
}

impl Length for u64 {
    #[inline]
    fn length(&self) -> u64 {
        *self
    }
}

impl InputStream {
    #[inline]
    pub(crate) fn new(raw: u32) -> Self {
        Self { host: Host { handle: Handle::new(raw), state: State::Open }, buffer: Buffer::new() }
    }

    /// The next bytes, as the host gave them and without a copy; `None` at the end.
    ///
    /// A chunk has at least one byte and at most [`MAX_READ`]. What [`BufRead`] holds comes first. This is the draft's `read`.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`] or [`Error::NotReady`].
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream};
    /// fn checksum(stream: &mut InputStream) -> Result<u8, Error> {
    ///     let mut sum = 0;
    ///     while let Some(chunk) = stream.chunk()? {
    ///         sum = chunk.iter().fold(sum, |sum, byte| sum ^ byte);
    ///     }
    ///     Ok(sum)
    /// }
    /// ```
    pub fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        // What is given away is not memory to read into again.
        let (list, consumed) = if self.buffer.is_empty() { (self.pull(MAX_READ)?, 0) } else { self.buffer.take() };
        Ok(list.map(|list| {
            let mut chunk = Bytes::from(list);
            chunk.advance(consumed);
            chunk
        }))
    }

    /// The chunks up to the end, or up to and with the first error.
    ///
    /// # Errors
    ///
    /// Each item is what [`chunk`](Self::chunk) gives.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream};
    /// fn length(stream: &mut InputStream) -> Result<u64, Error> {
    ///     stream.chunks().map(|chunk| Ok(chunk?.len() as u64)).sum()
    /// }
    /// ```
    pub fn chunks(&mut self) -> Chunks<'_> {
        Chunks { stream: Some(self) }
    }

    /// Skips up to `len` bytes, host-side where they are not in the guest already: the draft's `skip`.
    ///
    /// Gives how many were skipped, which is less than `len` only at the end of the stream.
    ///
    /// Many hosts of the draft's time did not implement `skip`, and one skipped the wrong end. Where a host is not known to,
    /// read and discard: `io::copy(&mut stream.take(len), &mut io::sink())`.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`] or [`Error::NotReady`]. How much was skipped before is lost.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream};
    /// fn skip_header(stream: &mut InputStream) -> Result<bool, Error> {
    ///     Ok(stream.skip(16)? == 16)
    /// }
    /// ```
    pub fn skip(&mut self, len: u64) -> Result<u64, Error> {
        let mut skipped = self.buffer.as_slice().len().try_into().unwrap_or(u64::MAX).min(len);
        self.buffer.consume(usize::try_from(skipped).unwrap_or(usize::MAX));
        while skipped < len {
            let asked = len - skipped;
            let more = self.host.ask(Call::Skip, asked, |raw| wasi_io::skip(raw, asked))?;
            if more == 0 {
                break;
            }
            skipped += more;
        }
        Ok(skipped)
    }

    /// The draft's handle, still owned by this stream.
    ///
    /// ```
    /// # use inbound_keyvalue::InputStream;
    /// fn log(stream: &InputStream) {
    ///     println!("reading from input-stream {}", stream.as_raw());
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub fn as_raw(&self) -> u32 {
        self.host.handle.as_raw()
    }

    /// Gives the handle up: `drop-input-stream` is now the caller's to call. What was taken from the host and not given out is lost.
    ///
    /// ```
    /// # use inbound_keyvalue::InputStream;
    /// fn leave_to_the_host(stream: InputStream) {
    ///     let _ = stream.into_raw();
    /// }
    /// ```
    #[must_use = "a handle that nobody drops stays with the host"]
    pub fn into_raw(self) -> u32 {
        self.host.handle.into_raw()
    }

    /// Takes ownership of a handle.
    ///
    /// # Safety
    ///
    /// `raw` must be a live input stream of this instance that nothing else owns: it will be dropped. Numbers that are wrong
    /// do not touch this instance's memory; they end in a trap, or in another handle being dropped.
    ///
    /// ```
    /// # use inbound_keyvalue::InputStream;
    /// fn round_trip(stream: InputStream) -> InputStream {
    ///     let raw = stream.into_raw();
    ///     // SAFETY: `into_raw` has just given it up.
    ///     unsafe { InputStream::from_raw(raw) }
    /// }
    /// ```
    #[must_use]
    #[allow(unsafe_code, reason = "ownership of a handle is asserted by the caller")]
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self::new(raw)
    }

    /// Has something buffered, unless the stream has ended.
    #[inline]
    fn fill(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() && !matches!(self.host.state, State::Ended) { self.refill() } else { Ok(()) }
    }

    /// Reads into the memory of the chunk before, or of the stream before, where that is large enough.
    fn refill(&mut self) -> Result<(), Error> {
        let chunk = self.buffer.memory();
        let asked = MAX_READ as u64;
        let read = self.host.ask(Call::Read, asked, |raw| wasi_io::read_to(raw, asked, chunk));
        if let Err(error) = read {
            // It may be more than the host was asked for, and is of no use.
            self.buffer.discard();
            return Err(error);
        }
        Ok(())
    }

    /// The next list from the host, of at most `asked` bytes, which must not be 0; `None` at the end.
    pub(crate) fn pull(&mut self, asked: usize) -> Result<Option<Vec<u8>>, Error> {
        let asked = asked.min(MAX_READ) as u64;
        self.host.ask(Call::Read, asked, |raw| {
            let (list, end) = wasi_io::read(raw, asked)?;
            Ok(((!list.is_empty()).then_some(list), end))
        })
    }

    /// Reads straight into `buf`, which must not be empty. Gives how much, 0 at the end.
    fn pull_into(&mut self, buf: &mut [MaybeUninit<u8>]) -> Result<usize, Error> {
        let room = buf.len().min(MAX_READ);
        let buf = &mut buf[..room];
        self.host.ask(Call::Read, room as u64, |raw| wasi_io::read_into(raw, buf))
    }

    /// Appends all that is left to `buf`.
    #[allow(unsafe_code, reason = "the host writes into the spare room of a Vec")]
    pub(crate) fn read_rest(&mut self, buf: &mut Vec<u8>) -> Result<(), Error> {
        buf.extend_from_slice(self.buffer.as_slice());
        self.buffer.consume(usize::MAX);
        loop {
            if buf.capacity() > buf.len() {
                let read = self.pull_into(buf.spare_capacity_mut())?;
                if read == 0 {
                    return Ok(());
                }
                let len = buf.len() + read;
                // SAFETY: `pull_into` has written `read` bytes behind the old length, no more than there was room for.
                unsafe { buf.set_len(len) };
            } else {
                // Makes room for data only once there is data: a buffer of just the right size stays as it is.
                let Some(list) = self.pull(MAX_READ)? else { return Ok(()) };
                append(buf, list);
            }
        }
    }
}

impl Host {
    /// Makes a call that answers with data and whether that is the end, until it answers with either.
    fn ask<T: Length + Default>(
        &mut self,
        call: Call,
        asked: u64,
        mut answer: impl FnMut(u32) -> Result<(T, bool), StreamError>,
    ) -> Result<T, Error> {
        match self.state {
            State::Open => {}
            State::Ended => return Ok(T::default()),
            State::Failed(failure) => return Err(failure.into()),
        }
        for _ in 0..MAX_ATTEMPTS {
            let Ok((data, end)) = answer(self.handle.as_raw()) else {
                return Err(self.fail(Failure::Stream(call)));
            };
            let answered = data.length();
            if answered > asked {
                return Err(self.fail(Failure::Excess { call, asked, answered }));
            }
            if end {
                self.state = State::Ended;
            }
            if end || answered > 0 {
                return Ok(data);
            }
        }
        Err(Error::NotReady { call, attempts: MAX_ATTEMPTS })
    }

    #[cold]
    fn fail(&mut self, failure: Failure) -> Error {
        self.state = State::Failed(failure);
        failure.into()
    }
}

impl Read for InputStream {
    /// Fills `buf`, or as much of it as one call to the host brings: what is in the guest already comes first, then the draft's
    /// `read`, straight into `buf` where it has room for 4 KiB, and else through a chunk. At most [`MAX_READ`] bytes at a time.
    #[allow(unsafe_code, reason = "initialised memory is lent to a call that only writes bytes to it")]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.len() >= DIRECT && self.buffer.is_empty() {
            // SAFETY: `pull_into` writes bytes or nothing, so the slice stays initialised.
            let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
            return Ok(self.pull_into(buf)?);
        }
        if buf.is_empty() {
            return Ok(0);
        }
        self.fill()?;
        let read = self.buffer.as_slice().read(buf)?;
        self.buffer.consume(read);
        Ok(read)
    }

    /// Appends all that is left to `buf`. On an error, what came before it stays in `buf`.
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        self.read_rest(buf)?;
        Ok(buf.len() - before)
    }
}

/// Appends without a copy where `buf` has no memory of its own.
pub(crate) fn append(buf: &mut Vec<u8>, list: Vec<u8>) {
    if buf.capacity() == 0 {
        *buf = list;
    } else {
        buf.extend_from_slice(&list);
    }
}

impl BufRead for InputStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(self.buffer.as_slice())
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        self.buffer.consume(amount);
    }
}

/// The chunks of an [`InputStream`], made by [`InputStream::chunks`].
#[derive(Debug)]
pub struct Chunks<'a> {
    stream: Option<&'a mut InputStream>,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.stream.as_mut()?.chunk().transpose();
        if !matches!(chunk, Some(Ok(_))) {
            self.stream = None;
        }
        chunk
    }
}

impl std::iter::FusedIterator for Chunks<'_> {}

/// A stream that takes bytes: the draft's `output-stream`.
///
/// [`Value::body`](crate::Value::body) lends the one that writes a value's body. `Write` is not buffered: a write is a call to
/// the host. The draft has no flush, so [`flush`](Write::flush) has nothing to do.
///
/// Once the stream has failed it is never touched again, and writes give the same error. Dropping it calls
/// `drop-output-stream`, once.
///
/// ```
/// use std::io::Write;
/// use inbound_keyvalue::Value;
///
/// fn padded(text: &str, width: u64) -> std::io::Result<Value> {
///     let mut value = Value::new();
///     let body = value.body()?;
///     body.write_all(text.as_bytes())?;
///     body.write_repeated(b' ', width.saturating_sub(text.len() as u64))?;
///     value.finish()?;
///     Ok(value)
/// }
/// ```
#[derive(Debug)]
pub struct OutputStream {
    handle: Handle<OutputStreamKind>,
    failure: Option<Failure>,
}

impl OutputStream {
    #[inline]
    pub(crate) fn new(raw: u32) -> Self {
        Self { handle: Handle::new(raw), failure: None }
    }

    /// Writes `byte` `len` times, all of them: the draft's `write-repeated`.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`] or [`Error::WriteZero`]. How much was written before is lost.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, OutputStream};
    /// fn zeroes(stream: &mut OutputStream) -> Result<(), Error> {
    ///     stream.write_repeated(0, 4096)
    /// }
    /// ```
    pub fn write_repeated(&mut self, byte: u8, len: u64) -> Result<(), Error> {
        let mut left = len;
        while left > 0 {
            left -= self.give(Call::WriteRepeated, left, |raw| wasi_io::write_repeated(raw, byte, left))?;
        }
        Ok(())
    }

    /// Moves up to `len` bytes from `source`, host-side: the draft's `splice`. No byte enters the guest, other than what
    /// `source` holds for [`BufRead`], which is written first.
    ///
    /// Gives how many were moved, which is less than `len` only at the end of `source`.
    ///
    /// Most hosts of the draft's time trapped on `splice`. [`io::copy`] works on all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`] (which of the two streams failed is not told: neither is used again), [`Error::Excess`],
    /// [`Error::NotReady`] or [`Error::WriteZero`]. How much was moved before is lost.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream, OutputStream};
    /// fn first_kilobyte(from: &mut InputStream, to: &mut OutputStream) -> Result<u64, Error> {
    ///     to.splice(from, 1024)
    /// }
    /// ```
    pub fn splice(&mut self, source: &mut InputStream, len: u64) -> Result<u64, Error> {
        let mut moved = self.write_buffered(source, len)?;
        while moved < len {
            let asked = len - moved;
            let more = self.both(&mut source.host, |dst, source| {
                source.ask(Call::Splice, asked, |src| wasi_io::splice(dst, src, asked))
            })?;
            if more == 0 {
                break;
            }
            moved += more;
        }
        Ok(moved)
    }

    /// Moves all that is left in `source`, host-side: the draft's `forward`. No byte enters the guest, other than what
    /// `source` holds for [`BufRead`], which is written first. Gives how many were moved.
    ///
    /// Most hosts of the draft's time trapped on `forward`. [`io::copy`] works on all of them.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`] (which of the two streams failed is not told: neither is used again) or [`Error::WriteZero`]. How
    /// much was moved before is lost.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream, OutputStream};
    /// fn copy(from: &mut InputStream, to: &mut OutputStream) -> Result<u64, Error> {
    ///     to.forward(from)
    /// }
    /// ```
    pub fn forward(&mut self, source: &mut InputStream) -> Result<u64, Error> {
        let written = self.write_buffered(source, u64::MAX)?;
        let forwarded = self.both(&mut source.host, |dst, source| {
            source.ask(Call::Forward, u64::MAX, |src| Ok((wasi_io::forward(dst, src)?, true)))
        })?;
        Ok(written.saturating_add(forwarded))
    }

    /// The draft's handle, still owned by this stream.
    ///
    /// ```
    /// # use inbound_keyvalue::OutputStream;
    /// fn log(stream: &OutputStream) {
    ///     println!("writing to output-stream {}", stream.as_raw());
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub fn as_raw(&self) -> u32 {
        self.handle.as_raw()
    }

    /// Gives the handle up: `drop-output-stream` is now the caller's to call.
    ///
    /// ```
    /// # use inbound_keyvalue::OutputStream;
    /// fn leave_to_the_host(stream: OutputStream) {
    ///     let _ = stream.into_raw();
    /// }
    /// ```
    #[must_use = "a handle that nobody drops stays with the host"]
    pub fn into_raw(self) -> u32 {
        self.handle.into_raw()
    }

    /// Takes ownership of a handle.
    ///
    /// # Safety
    ///
    /// `raw` must be a live output stream of this instance that nothing else owns: it will be dropped. Numbers that are wrong
    /// do not touch this instance's memory; they end in a trap, or in another handle being dropped.
    ///
    /// ```
    /// # use inbound_keyvalue::OutputStream;
    /// fn round_trip(stream: OutputStream) -> OutputStream {
    ///     let raw = stream.into_raw();
    ///     // SAFETY: `into_raw` has just given it up.
    ///     unsafe { OutputStream::from_raw(raw) }
    /// }
    /// ```
    #[must_use]
    #[allow(unsafe_code, reason = "ownership of a handle is asserted by the caller")]
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self::new(raw)
    }

    /// Whether the stream has failed, as an error.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failure.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Writes what `source` holds in the guest, up to `len` bytes.
    fn write_buffered(&mut self, source: &mut InputStream, len: u64) -> Result<u64, Error> {
        let mut written = 0;
        while written < len && !source.buffer.is_empty() {
            let buffered = source.buffer.as_slice();
            let left = usize::try_from(len - written).unwrap_or(usize::MAX).min(buffered.len());
            let taken = self.put(&buffered[..left])?;
            source.buffer.consume(taken);
            written += taken as u64;
        }
        Ok(written)
    }

    /// Makes a call on this stream and `source`, either of which a failure may come from.
    fn both(
        &mut self,
        source: &mut Host,
        call: impl FnOnce(u32, &mut Host) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        self.check()?;
        if let State::Failed(failure) = source.state {
            return Err(failure.into());
        }
        let moved = call(self.handle.as_raw(), source);
        if let State::Failed(failure) = source.state {
            self.failure = Some(failure);
        }
        moved
    }

    fn put(&mut self, buf: &[u8]) -> Result<usize, Error> {
        let taken = self.give(Call::Write, buf.len() as u64, |raw| wasi_io::write(raw, buf))?;
        // No more than `buf.len()`, which `give` has seen to.
        Ok(usize::try_from(taken).unwrap_or(buf.len()))
    }

    /// Makes a call that answers with how much it took, until it takes something.
    fn give(
        &mut self,
        call: Call,
        given: u64,
        mut answer: impl FnMut(u32) -> Result<u64, StreamError>,
    ) -> Result<u64, Error> {
        self.check()?;
        for _ in 0..MAX_ATTEMPTS {
            let Ok(taken) = answer(self.handle.as_raw()) else {
                return Err(self.fail(Failure::Stream(call)));
            };
            if taken > given {
                return Err(self.fail(Failure::Excess { call, asked: given, answered: taken }));
            }
            if taken > 0 {
                return Ok(taken);
            }
        }
        Err(Error::WriteZero { call, attempts: MAX_ATTEMPTS })
    }

    #[cold]
    fn fail(&mut self, failure: Failure) -> Error {
        self.failure = Some(failure);
        failure.into()
    }
}

impl Write for OutputStream {
    /// Writes some of `buf`, at least one byte of it: the draft's `write`. Short writes are normal.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Ok(self.put(buf)?)
    }

    /// Does nothing: the draft has no flush.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
