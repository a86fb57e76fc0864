use std::io::{self, BufRead, Read};
use std::mem::MaybeUninit;

use bytes::{Buf as _, Bytes};

use super::buffer::Buffer;
use super::host_stream::HostStream;
use super::{Fault, shared};
use crate::error::{Call, Error};
use crate::handle::raw_handle;
use crate::sys::{Raw, wasi_io};

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
/// The stream holds at most one chunk, of up to [`MAX_READ`](crate::MAX_READ) bytes, that it has read and that you have not taken.
/// `BufRead` shows these bytes. All ways of reading take them first, so you can mix them. A [`BufReader`](io::BufReader) around the
/// stream gains nothing. When the stream is dropped, the memory of its chunk is kept for the next stream. An instance keeps at most one.
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

/// The place of the next bytes.
pub(super) enum Next<'a> {
    /// In the buffer, which is not empty.
    Buffered(&'a mut Buffer),
    /// In the host. The buffer is empty.
    Host(&'a mut HostStream, &'a mut Buffer),
}

impl InputStream {
    #[inline]
    pub(crate) fn adopt(raw: Raw) -> Self {
        Self { host: HostStream::adopt(raw), buffer: Buffer::new() }
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

    /// Lets reading fail with [`Error::TooLarge`] after `limit` more bytes, if there are more. `size` is the host's hint.
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
        self.host.is_limited()
    }

    /// The next bytes, as the host sent them and without a copy; `None` at the end.
    ///
    /// A chunk has at least one byte and at most [`MAX_READ`](crate::MAX_READ). This is the draft's `read`.
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
            Next::Buffered(buffer) => {
                let (chunk, consumed) = buffer.take();
                (Some(chunk), consumed)
            }
        };
        Ok(list.map(|list| {
            let mut chunk = shared(list);
            // Without `min` the compiler does not see that this cannot panic, and keeps the code to format the panic.
            chunk.advance(consumed.min(chunk.len()));
            chunk
        }))
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

    /// Reads into `buf`, which must not be empty.
    #[inline]
    #[allow(unsafe_code, reason = "initialised memory is lent to a call that only writes bytes to it")]
    fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        if let Next::Host(host, buffer) = self.next() {
            if buf.len() >= DIRECT {
                // SAFETY: `read_into` writes bytes or nothing, so the slice stays initialised.
                let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
                return host.read_into(buf);
            }
            host.fill(buffer)?;
        }
        let held = self.buffer.as_slice();
        let read = held.len().min(buf.len());
        buf[..read].copy_from_slice(&held[..read]);
        self.buffer.consume(read);
        Ok(read)
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

raw_handle!(InputStream, host, stream, "drop-input-stream", "a live input stream of this instance");

impl Read for InputStream {
    /// Fills `buf`, or the part of it that one call to the host brings. Buffered bytes come first. Then the draft's `read` fills
    /// `buf` directly if it has room for 4 KiB, and otherwise a chunk. A call reads at most [`MAX_READ`](crate::MAX_READ) bytes.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Ok(self.read_some(buf).map_err(Error::from)?)
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
