//! A host whose streams pass no bytes on for some calls.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::accounts::HandleKind;
use crate::host::decorator::{Decorator, Inner, Step};
use crate::host::{StreamError, StreamResult};

/// The number of calls in a row that pass no bytes on, before a call that does.
///
/// Every guest must work after a few such calls. With [`Forever`](Self::Forever), a guest that needs the data fails, but it must
/// not hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Repeat {
    /// This number of calls.
    Times(u32),
    /// All calls.
    Forever,
}

pub(super) fn decorator(read: Repeat, write: Repeat) -> Option<Box<dyn Decorator>> {
    let never = Repeat::Times(0);
    if (read, write) == (never, never) {
        return None;
    }
    Some(Box::new(PassesNothing { read, write, idle: HashMap::new() }))
}

#[derive(Debug)]
struct PassesNothing {
    read: Repeat,
    write: Repeat,
    /// For each stream, the number of calls in a row that have passed no bytes on.
    idle: HashMap<(HandleKind, u32), u32>,
}

impl PassesNothing {
    /// Whether this call passes no bytes on.
    fn is_idle(&mut self, kind: HandleKind, stream: u32) -> bool {
        let times = match if kind == HandleKind::InputStream { self.read } else { self.write } {
            Repeat::Forever => return true,
            Repeat::Times(0) => return false,
            Repeat::Times(times) => times,
        };
        let idle = self.idle.entry((kind, stream)).or_default();
        let is_idle = *idle < times;
        *idle = if is_idle { *idle + 1 } else { 0 };
        is_idle
    }
}

impl Decorator for PassesNothing {
    fn read(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        if self.is_idle(HandleKind::InputStream, src) { Ok((Vec::new(), false)) } else { inner.read(src, len) }
    }

    fn skip(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        if self.is_idle(HandleKind::InputStream, src) { Ok((0, false)) } else { inner.skip(src, len) }
    }

    fn write(&mut self, inner: &mut Inner<'_>, dst: u32, buf: &[u8]) -> StreamResult<u64> {
        if self.is_idle(HandleKind::OutputStream, dst) { Ok(Ok(0)) } else { inner.write(dst, buf) }
    }

    fn write_repeated(&mut self, inner: &mut Inner<'_>, dst: u32, byte: u8, len: u64) -> StreamResult<u64> {
        if self.is_idle(HandleKind::OutputStream, dst) { Ok(Ok(0)) } else { inner.write_repeated(dst, byte, len) }
    }

    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        // The output takes no part in a call that only reports the end of the input.
        let is_idle = self.is_idle(HandleKind::InputStream, step.src)
            || inner.host.left(step.src) > 0 && self.is_idle(HandleKind::OutputStream, step.dst);
        if is_idle { Ok(Ok((0, false))) } else { inner.transfer(step) }
    }

    fn gone(&mut self, kind: HandleKind, handle: u32) {
        self.idle.remove(&(kind, handle));
    }
}
