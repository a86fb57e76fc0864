use std::cell::Cell;
use std::io::{self, Write};

use super::{Fault, attempt};
use crate::error::{Call, Error};
use crate::handle::{Handle, OutputStreamResource, raw_handle};
use crate::sys::Raw;
use crate::sys::wasi_io::{self, StreamError};

/// A stream that takes bytes: the draft's `output-stream`.
///
/// [`Value::body`](crate::Value::body) lends the stream that writes the body of a value. As for [`File`](std::fs::File), both
/// `OutputStream` and `&OutputStream` are [`Write`]. `Write` has no buffer: a write is a call to the host. The draft has no flush,
/// so [`flush`](Write::flush) does nothing.
///
/// After [`Error::Stream`] or [`Error::Excess`] the stream makes no more calls, and every write returns the same error. Dropping
/// the stream calls `drop-output-stream`, once.
///
/// ```
/// use std::io::Write;
/// use inbound_keyvalue::Value;
///
/// fn padded(text: &str, width: u64) -> std::io::Result<Value> {
///     let mut value = Value::new();
///     let mut body = value.body()?;
///     body.write_all(text.as_bytes())?;
///     body.write_repeated(b' ', width.saturating_sub(text.len() as u64))?;
///     value.finish()?;
///     Ok(value)
/// }
/// ```
#[derive(Debug)]
pub struct OutputStream {
    handle: Handle<OutputStreamResource>,
    fault: Cell<Option<Fault>>,
}

impl OutputStream {
    #[inline]
    pub(crate) fn adopt(raw: Raw) -> Self {
        Self { handle: Handle::new(raw), fault: Cell::new(None) }
    }

    /// Writes `byte` `len` times, all of them: the draft's `write-repeated`.
    ///
    /// # Errors
    ///
    /// [`Error::Stream`], [`Error::Excess`] or [`Error::WriteZero`]. The error does not tell how much was written.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, OutputStream};
    /// fn zeroes(stream: &OutputStream) -> Result<(), Error> {
    ///     stream.write_repeated(0, 4096)
    /// }
    /// ```
    pub fn write_repeated(&self, byte: u8, len: u64) -> Result<(), Error> {
        let mut left = len;
        while left > 0 {
            left -= self.push(Call::WriteRepeated, left, |raw| wasi_io::write_repeated(raw, byte, left))?;
        }
        Ok(())
    }

    /// The fault that [`Value::finish`](crate::Value::finish) reports: the host's, or else the first.
    #[inline]
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Fails if the stream must not be used again.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self.fault.get() {
            Some(fault) if fault.is_of_the_host() => Err(fault),
            _ => Ok(()),
        }
    }

    /// Keeps a fault, because the body may lack bytes from now on.
    #[cold]
    pub(super) fn fail(&self, fault: Fault) -> Fault {
        if fault.is_of_the_host() || self.fault.get().is_none() {
            self.fault.set(Some(fault));
        }
        fault
    }

    /// Writes at least one byte of `buf`, which must not be empty.
    pub(super) fn write_some(&self, buf: &[u8]) -> Result<usize, Fault> {
        let taken = self.push(Call::Write, buf.len() as u64, |raw| wasi_io::write(raw, buf))?;
        // `push` has checked that it is at most `buf.len()`.
        Ok(usize::try_from(taken).unwrap_or(buf.len()))
    }

    /// Writes all of `buf`, which must not be empty. One call is enough for nearly every host and content.
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub(crate) fn write_whole(&self, buf: &[u8]) -> Result<(), Error> {
        self.check()?;
        match wasi_io::write(self.raw(), buf) {
            Ok(taken) if taken == buf.len() as u64 => Ok(()),
            first => self.write_rest(first, buf),
        }
    }

    /// Writes what the first call left.
    #[cold]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn write_rest(&self, first: Result<u64, StreamError>, mut rest: &[u8]) -> Result<(), Error> {
        let mut first = Some(first);
        while !rest.is_empty() {
            let answer = |raw| first.take().unwrap_or_else(|| wasi_io::write(raw, rest));
            let taken = self.push(Call::Write, rest.len() as u64, answer)?;
            // `push` has checked that it is at most `rest.len()`.
            rest = &rest[usize::try_from(taken).unwrap_or(rest.len())..];
        }
        Ok(())
    }

    #[inline]
    pub(super) fn raw(&self) -> Raw {
        self.handle.as_raw()
    }

    /// Makes a call about `len` bytes until the host takes some.
    fn push(
        &self,
        call: Call,
        len: u64,
        mut answer: impl FnMut(Raw) -> Result<u64, StreamError>,
    ) -> Result<u64, Fault> {
        self.check()?;
        let raw = self.raw();
        match attempt(call, len, Fault::WriteZero(call), || Ok((answer(raw)?, false))) {
            Ok((taken, _)) => Ok(taken),
            Err(fault) => Err(self.fail(fault)),
        }
    }
}

raw_handle!(OutputStream, handle, stream, "drop-output-stream", "a live output stream of this instance");

/// Writes to the host: the draft's `write`.
impl Write for &OutputStream {
    /// Writes some of `buf`, at least one byte of it. Short writes are normal.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Ok(self.write_some(buf).map_err(Error::from)?)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        Ok(self.write_whole(buf)?)
    }

    /// Does nothing: the draft has no flush.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// As `&OutputStream` does.
impl Write for OutputStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        (&*self).write_all(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
