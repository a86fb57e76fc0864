use std::borrow::BorrowMut;
use std::io::{self, BufRead, Read};
use std::iter::FusedIterator;
use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes};

use super::buffer::Buffer;
use super::{Fault, Length, MAX_READ, attempt};
use crate::error::{Call, Error};
use crate::handle::{Handle, InputStreamResource, raw_handle};
use crate::sys::wasi_io::{self, StreamError};

/// A smaller buffer is filled from a chunk: one call to the host for every few bytes would cost more than the copy.
const DIRECT: usize = 4 * 1024;

/// The bytes of a payload as they come: the draft's `input-stream`.
///
/// [`Payload::into_stream`](crate::Payload::into_stream) makes one. Choose the way of reading by what you do with the bytes:
///
/// | to | use | copies in the guest |
/// |---|---|---|
/// | read text, or small pieces | [`BufRead`], such as [`lines`](BufRead::lines) | the line |
/// | keep pieces, or pass them on | [`chunk`](Self::chunk), [`chunks`](Self::chunks), `for chunk in stream` | none |
/// | fill your own buffer | [`Read`] | none from 4 KiB on: the host writes into the buffer |
/// | copy to a [`Value`](crate::Value) on any host | [`io::copy`] | one |
/// | copy to a [`Value`](crate::Value) inside the host | [`OutputStream::forward`], [`OutputStream::splice`] | none, and no byte enters the guest |
///
/// The stream holds at most one chunk of up to [`MAX_READ`] bytes that it has read and not given out: the bytes that `BufRead`
/// shows. All ways of reading see these bytes first, so you can mix them. A [`BufReader`](io::BufReader) around the stream gains
/// nothing. When the stream is dropped, the memory of its chunk is kept for the next stream. An instance keeps at most one.
///
/// After its end the stream is never read again, and reads return nothing. After a failure it is never used again, and reads
/// return the same error. Dropping the stream calls `drop-input-stream`, once.
///
/// [`OutputStream::forward`]: crate::OutputStream::forward
/// [`OutputStream::splice`]: crate::OutputStream::splice
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
    host: HostStream,
    buffer: Buffer,
}

/// Where the next bytes are.
pub(super) enum Next<'a> {
    /// In the buffer, which is not empty.
    Buffered(&'a mut Buffer),
    /// In the host. The buffer is empty.
    Host(&'a mut HostStream, &'a mut Buffer),
}

impl InputStream {
    #[inline]
    pub(crate) fn adopt(raw: u32) -> Self {
        Self { host: HostStream { handle: Handle::new(raw), state: State::Open }, buffer: Buffer::new() }
    }

    /// Every way of reading starts here. The host's stream can be reached only while nothing is buffered, so no way of reading
    /// can lose buffered bytes or take them out of order.
    #[inline]
    pub(super) fn next(&mut self) -> Next<'_> {
        if self.buffer.is_empty() {
            Next::Host(&mut self.host, &mut self.buffer)
        } else {
            Next::Buffered(&mut self.buffer)
        }
    }

    /// Fails with [`Error::TooLarge`] where more than `limit` bytes would come from now on. `size` is the host's hint.
    pub(crate) fn limit(&mut self, limit: usize, size: Option<u64>) {
        let held = self.buffer.as_slice().len();
        if held > limit {
            self.buffer.truncate(limit);
            self.host.fail(Fault::TooLarge { limit, size });
        } else {
            self.host.limit(limit, limit - held, size);
        }
    }

    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        matches!(self.host.state, State::Limited { .. })
    }

    /// The next bytes, as the host sent them and without a copy; `None` at the end.
    ///
    /// A chunk has at least one byte and at most [`MAX_READ`]. This is the draft's `read`.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`], [`Error::NotReady`] or [`Error::TooLarge`].
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
        // The chunk leaves with its memory, so the next read does not use that memory again.
        let (list, consumed) = match self.next() {
            Next::Host(host, _) => (host.list()?, 0),
            Next::Buffered(buffer) => buffer.take(),
        };
        Ok(list.map(|list| {
            let mut chunk = Bytes::from(list);
            chunk.advance(consumed);
            chunk
        }))
    }

    /// The chunks up to the end, or up to and including the first error. To give up the stream, write `for chunk in stream`.
    ///
    /// # Errors
    ///
    /// Each item is a result of [`chunk`](Self::chunk).
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

    /// Skips up to `len` bytes: buffered bytes first, then with the draft's `skip`, inside the host.
    ///
    /// Returns how many bytes were skipped. This is less than `len` only at the end of the stream.
    ///
    /// Many hosts of the draft's time did not implement `skip`, and one skipped the wrong end. If you do not know the host, read
    /// and discard: `io::copy(&mut stream.take(len), &mut io::sink())`.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`], [`Error::NotReady`] or [`Error::TooLarge`]. The error does not tell how much was
    /// skipped.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream};
    /// fn skip_header(stream: &mut InputStream) -> Result<bool, Error> {
    ///     Ok(stream.skip(16)? == 16)
    /// }
    /// ```
    pub fn skip(&mut self, len: u64) -> Result<u64, Error> {
        let mut skipped = 0;
        while skipped < len {
            let left = len - skipped;
            let more = match self.next() {
                Next::Buffered(buffer) => {
                    let more = left.min(buffer.as_slice().len() as u64);
                    buffer.consume(usize::try_from(more).unwrap_or(usize::MAX));
                    more
                }
                Next::Host(host, _) => host.pull(Call::Skip, left, wasi_io::skip)?,
            };
            if more == 0 {
                break;
            }
            skipped += more;
        }
        Ok(skipped)
    }

    /// Makes sure that something is buffered, unless the stream is at its end. The host's answer goes into the memory of the
    /// chunk before, or of the stream before, if that is large enough.
    #[inline]
    fn fill(&mut self) -> Result<(), Fault> {
        match self.next() {
            Next::Buffered(_) => Ok(()),
            Next::Host(host, buffer) => host.fill(buffer),
        }
    }

    /// Appends everything that is left to `buf`.
    pub(crate) fn read_rest(&mut self, buf: &mut Vec<u8>) -> Result<(), Error> {
        loop {
            let read = match self.next() {
                Next::Buffered(buffer) => {
                    let held = buffer.as_slice();
                    buf.extend_from_slice(held);
                    let read = held.len();
                    buffer.consume(read);
                    read
                }
                Next::Host(host, _) => host.append(buf)?,
            };
            if read == 0 {
                return Ok(());
            }
        }
    }
}

raw_handle!(InputStream, host.handle, stream, "drop-input-stream", "a live input stream of this instance");

/// The host's half of an input stream.
#[derive(Debug)]
pub(super) struct HostStream {
    handle: Handle<InputStreamResource>,
    state: State,
}

// The tag has a byte of its own: a tag that shares a byte with the fault's tag must be decoded at every call.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum State {
    Open,
    Ended,
    /// No more than `left` of `limit` bytes may come.
    Limited {
        left: usize,
        limit: usize,
        size: Option<u64>,
    },
    Failed(Fault),
}

impl HostStream {
    /// Fails if the stream must not be used again.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Fault> {
        if let State::Failed(fault) = self.state { Err(fault) } else { Ok(()) }
    }

    /// Makes a call about at most `len` bytes, which must not be 0, until it makes progress. 0 bytes are the end.
    pub(super) fn pull<T: Length + Default>(
        &mut self,
        call: Call,
        len: u64,
        mut answer: impl FnMut(u32, u64) -> Result<(T, bool), StreamError>,
    ) -> Result<T, Fault> {
        let asked = match self.state {
            State::Open => len,
            _ => self.allowed(len)?,
        };
        if asked == 0 {
            return Ok(T::default());
        }
        let raw = self.handle.as_raw();
        match attempt(call, asked, Fault::NotReady(call), || answer(raw, asked)) {
            Ok((data, end)) => {
                if end {
                    self.state = State::Ended;
                } else if let State::Limited { left, .. } = &mut self.state {
                    // No more than `asked`, and so no more than `left`.
                    *left -= usize::try_from(data.length()).unwrap_or(*left);
                }
                Ok(data)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    /// How many of `len` bytes a stream that is not simply open may ask for; 0 at the end.
    #[cold]
    fn allowed(&mut self, len: u64) -> Result<u64, Fault> {
        match self.state {
            State::Open => Ok(len),
            State::Ended => Ok(0),
            State::Failed(fault) => Err(fault),
            State::Limited { left, .. } if left > 0 => Ok(len.min(left as u64)),
            State::Limited { limit, size, .. } => {
                // Only another byte tells whether the limit was also the end.
                self.state = State::Open;
                let more = self.pull(Call::Read, 1, |raw, asked| {
                    let (list, end) = wasi_io::read(raw, asked)?;
                    Ok((list.len(), end))
                });
                match more {
                    Ok(0) => Ok(0),
                    Ok(_) => Err(self.fail(Fault::TooLarge { limit, size })),
                    Err(fault) => {
                        if fault.may_pass() {
                            self.state = State::Limited { left: 0, limit, size };
                        }
                        Err(fault)
                    }
                }
            }
        }
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> Fault {
        if !fault.may_pass() {
            self.state = State::Failed(fault);
        }
        fault
    }

    /// Allows `left` more bytes. A smaller limit that was set before stays.
    fn limit(&mut self, limit: usize, left: usize, size: Option<u64>) {
        let before = match self.state {
            State::Open => usize::MAX,
            State::Limited { left, .. } => left,
            State::Ended | State::Failed(_) => return,
        };
        if left < before {
            self.state = State::Limited { left, limit, size };
        }
    }

    /// The next list; `None` at the end.
    fn list(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.pull(Call::Read, MAX_READ as u64, |raw, asked| {
            let (list, end) = wasi_io::read(raw, asked)?;
            Ok(((!list.is_empty()).then_some(list), end))
        })
    }

    /// Reads into `buf`, which must not be empty. 0 is the end.
    fn read_into(&mut self, buf: &mut [MaybeUninit<u8>]) -> Result<usize, Fault> {
        let room = buf.len().min(MAX_READ) as u64;
        self.pull(Call::Read, room, |raw, asked| {
            let asked = usize::try_from(asked).unwrap_or(usize::MAX);
            wasi_io::read_into(raw, &mut buf[..asked])
        })
    }

    /// Reads into the memory of `buffer`, which must be empty.
    fn fill(&mut self, buffer: &mut Buffer) -> Result<(), Fault> {
        let chunk = buffer.memory();
        let read = self.pull(Call::Read, MAX_READ as u64, |raw, asked| wasi_io::read_to(raw, asked, chunk));
        if let Err(fault) = read {
            // The answer may be longer than what was asked for, and none of it may be given out.
            buffer.discard();
            return Err(fault);
        }
        Ok(())
    }

    /// Appends the next bytes to `buf`, and returns how many: 0 is the end.
    #[allow(unsafe_code, reason = "the host writes into the spare room of a Vec")]
    fn append(&mut self, buf: &mut Vec<u8>) -> Result<usize, Fault> {
        if buf.capacity() > buf.len() {
            let read = self.read_into(buf.spare_capacity_mut())?;
            let len = buf.len() + read;
            // SAFETY: `read_into` has written `read` bytes behind the old length, and there was room for them.
            unsafe { buf.set_len(len) };
            return Ok(read);
        }
        // Makes room only when there is data: a buffer of exactly the right size keeps its size.
        let Some(list) = self.list()? else { return Ok(0) };
        let read = list.len();
        if buf.capacity() == 0 {
            *buf = list;
        } else {
            buf.extend_from_slice(&list);
        }
        Ok(read)
    }
}

impl Read for InputStream {
    /// Fills `buf`, or the part of it that one call to the host brings. Buffered bytes come first. Then the draft's `read` fills
    /// `buf` directly if it has room for 4 KiB, and otherwise a chunk. A call reads at most [`MAX_READ`] bytes.
    #[allow(unsafe_code, reason = "initialised memory is lent to a call that only writes bytes to it")]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if let Next::Host(host, buffer) = self.next() {
            if buf.len() >= DIRECT {
                // SAFETY: `read_into` writes bytes or nothing, so the slice stays initialised.
                let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
                return Ok(host.read_into(buf).map_err(Error::from)?);
            }
            host.fill(buffer).map_err(Error::from)?;
        }
        let read = self.buffer.as_slice().read(buf)?;
        self.buffer.consume(read);
        Ok(read)
    }

    /// Appends everything that is left to `buf`. After an error, `buf` keeps what came before the error.
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let before = buf.len();
        self.read_rest(buf)?;
        Ok(buf.len() - before)
    }
}

impl BufRead for InputStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill().map_err(Error::from)?;
        Ok(self.buffer.as_slice())
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        self.buffer.consume(amount);
    }
}

/// The chunks of an [`InputStream`] that stays with its owner. [`InputStream::chunks`] makes it.
#[derive(Debug)]
pub struct Chunks<'a> {
    stream: Option<&'a mut InputStream>,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        next_chunk(&mut self.stream)
    }
}

impl FusedIterator for Chunks<'_> {}

/// The chunks of an [`InputStream`] that this iterator owns. `for chunk in stream` makes it.
///
/// The stream is dropped at its end or after its first error.
///
/// ```
/// # use inbound_keyvalue::{Error, InputStream};
/// fn length(stream: InputStream) -> Result<usize, Error> {
///     let mut length = 0;
///     for chunk in stream {
///         length += chunk?.len();
///     }
///     Ok(length)
/// }
/// ```
#[derive(Debug)]
pub struct IntoChunks {
    stream: Option<InputStream>,
}

impl Iterator for IntoChunks {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        next_chunk(&mut self.stream)
    }
}

impl FusedIterator for IntoChunks {}

fn next_chunk(stream: &mut Option<impl BorrowMut<InputStream>>) -> Option<Result<Bytes, Error>> {
    let chunk = stream.as_mut()?.borrow_mut().chunk().transpose();
    if !matches!(chunk, Some(Ok(_))) {
        *stream = None;
    }
    chunk
}

/// Iterates over the stream's chunks.
impl IntoIterator for InputStream {
    type Item = Result<Bytes, Error>;
    type IntoIter = IntoChunks;

    fn into_iter(self) -> IntoChunks {
        IntoChunks { stream: Some(self) }
    }
}

/// Iterates over the stream's chunks, and leaves the stream to its owner.
impl<'a> IntoIterator for &'a mut InputStream {
    type Item = Result<Bytes, Error>;
    type IntoIter = Chunks<'a>;

    fn into_iter(self) -> Chunks<'a> {
        self.chunks()
    }
}
