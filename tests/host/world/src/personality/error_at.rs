//! A host whose streams fail at some byte. This may fail a guest.

use crate::host::decorator::{Decorator, Inner, Step};
use crate::host::{StreamError, StreamResult};

/// `read` and `write` are the bytes at which input and output streams fail.
pub(super) fn decorator(read: Option<u64>, write: Option<u64>) -> Option<Box<dyn Decorator>> {
    if read.is_none() && write.is_none() {
        return None;
    }
    Some(Box::new(FailsStreams { read: read.unwrap_or(u64::MAX), write: write.unwrap_or(u64::MAX) }))
}

#[derive(Debug)]
struct FailsStreams {
    read: u64,
    write: u64,
}

impl FailsStreams {
    /// The number of bytes that a call for `len` bytes can read before the failure.
    fn readable(&self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<u64, StreamError> {
        let offset = inner.host.input(src).map_or(0, |input| input.offset);
        if offset >= self.read { Err(inner.host.fail_input(src)) } else { Ok(len.min(self.read - offset)) }
    }

    /// The number of bytes that a call with `len` bytes can write before the failure.
    fn writable(&self, inner: &mut Inner<'_>, dst: u32, len: u64) -> Result<u64, StreamError> {
        let written = inner.host.written_to(dst);
        if written >= self.write { Err(inner.host.fail_output(dst)) } else { Ok(len.min(self.write - written)) }
    }
}

impl Decorator for FailsStreams {
    fn read(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        let len = self.readable(inner, src, len)?;
        inner.read(src, len)
    }

    fn skip(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        let len = self.readable(inner, src, len)?;
        inner.skip(src, len)
    }

    fn write(&mut self, inner: &mut Inner<'_>, dst: u32, buf: &[u8]) -> StreamResult<u64> {
        match self.writable(inner, dst, buf.len() as u64) {
            Ok(len) => inner.write(dst, &buf[..usize::try_from(len).unwrap_or(0)]),
            Err(error) => Ok(Err(error)),
        }
    }

    fn write_repeated(&mut self, inner: &mut Inner<'_>, dst: u32, byte: u8, len: u64) -> StreamResult<u64> {
        match self.writable(inner, dst, len) {
            Ok(len) => inner.write_repeated(dst, byte, len),
            Err(error) => Ok(Err(error)),
        }
    }

    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        let mut possible = self.readable(inner, step.src, step.len);
        // The output takes no part in a call that only reports the end of the input.
        if inner.host.left(step.src) > 0 {
            possible = possible.and_then(|len| self.writable(inner, step.dst, len));
        }
        match possible {
            Ok(len) => inner.transfer(Step { len, ..step }),
            Err(error) => Ok(Err(error)),
        }
    }
}
