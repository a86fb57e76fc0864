//! A host whose streams return or claim more bytes than the guest asked for. This may fail a guest.

use crate::host::decorator::{Decorator, Inner, Step};
use crate::host::{StreamError, StreamResult};

/// A `read` returns `read` bytes more than the guest asked for, and a `write` claims `write` bytes more than the guest wrote.
pub(super) fn decorator(read: u64, write: u64) -> Option<Box<dyn Decorator>> {
    if (read, write) == (0, 0) { None } else { Some(Box::new(Exceeds { read, write })) }
}

#[derive(Debug)]
struct Exceeds {
    read: u64,
    write: u64,
}

/// The most bytes that a `read` returns. Every host has such a limit.
const MOST_GIVEN: u64 = 32 * 1024 * 1024;

/// The number that a call for `len` bytes claims, after `passed` bytes went through.
fn claimed(excess: u64, len: u64, passed: u64) -> u64 {
    if excess > 0 && passed > 0 { len.saturating_add(excess) } else { passed }
}

impl Decorator for Exceeds {
    fn read(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        let (mut data, end) = inner.read(src, len)?;
        let given = claimed(self.read, len, data.len() as u64).min(MOST_GIVEN);
        let given = usize::try_from(given).unwrap_or(0).max(data.len());
        data.resize(given, b'+');
        Ok((data, end))
    }

    fn skip(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        let (skipped, end) = inner.skip(src, len)?;
        Ok((claimed(self.read, len, skipped), end))
    }

    fn write(&mut self, inner: &mut Inner<'_>, dst: u32, buf: &[u8]) -> StreamResult<u64> {
        let taken = inner.write(dst, buf)?;
        Ok(taken.map(|taken| claimed(self.write, buf.len() as u64, taken)))
    }

    fn write_repeated(&mut self, inner: &mut Inner<'_>, dst: u32, byte: u8, len: u64) -> StreamResult<u64> {
        let taken = inner.write_repeated(dst, byte, len)?;
        Ok(taken.map(|taken| claimed(self.write, len, taken)))
    }

    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        let answer = inner.transfer(step)?;
        // `forward` has no length that the host could exceed.
        let excess = if step.call == "splice" { self.read } else { 0 };
        Ok(answer.map(|(moved, end)| (claimed(excess, step.len, moved), end)))
    }
}
