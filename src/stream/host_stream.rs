//! The host's half of an input stream: its handle, and what the rules of reading must remember.

use std::mem::MaybeUninit;

use super::buffer::Buffer;
use super::{Fault, Length, MAX_READ, attempt};
use crate::error::Call;
use crate::handle::{Handle, InputStreamResource};
use crate::sys::Raw;
use crate::sys::wasi_io::{self, StreamError};

/// The host's half of an input stream.
#[derive(Debug)]
pub(super) struct HostStream {
    handle: Handle<InputStreamResource>,
    state: State,
}

// The tag has a byte of its own: a tag that shares a byte with the fault's tag must be decoded at every call. `Limited` is last:
// if no limit is set, the compiler can see that the tag is smaller.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum State {
    Open,
    Ended,
    Failed(Fault),
    Limited(Limit),
}

/// A limit of `max` bytes, of which `left` may still come.
#[derive(Clone, Copy, Debug)]
struct Limit {
    left: usize,
    max: usize,
    size: Option<u64>,
    /// Always [`find_end`]. It is called through this pointer, so that only a watcher that sets a limit links its code.
    find_end: fn(Raw, usize, Option<u64>) -> Result<(), Fault>,
}

/// Fails if there are bytes beyond a limit. Only a read of one more byte shows whether the payload ends at the limit.
fn find_end(raw: Raw, limit: usize, size: Option<u64>) -> Result<(), Fault> {
    let beyond = &mut [MaybeUninit::uninit()];
    match attempt(Call::Read, 1, Fault::NotReady(Call::Read), || wasi_io::read_into(raw, beyond))? {
        (0, _) => Ok(()),
        _ => Err(Fault::TooLarge { limit, size }),
    }
}

impl HostStream {
    #[inline]
    pub(super) fn adopt(raw: Raw) -> Self {
        Self { handle: Handle::new(raw), state: State::Open }
    }

    #[inline]
    pub(super) fn as_raw(&self) -> Raw {
        self.handle.as_raw()
    }

    #[inline]
    pub(super) fn into_raw(self) -> Raw {
        self.handle.into_raw()
    }

    #[inline]
    pub(super) fn is_limited(&self) -> bool {
        matches!(self.state, State::Limited(_))
    }

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
        mut answer: impl FnMut(Raw, u64) -> Result<(T, bool), StreamError>,
    ) -> Result<T, Fault> {
        let raw = self.handle.as_raw();
        let asked = match self.state {
            State::Open => len,
            State::Ended => return Ok(T::default()),
            State::Failed(fault) => return Err(fault),
            State::Limited(Limit { left, .. }) if left > 0 => len.min(left as u64),
            State::Limited(limit) => {
                (limit.find_end)(raw, limit.max, limit.size).map_err(|fault| self.fail(fault))?;
                self.state = State::Ended;
                return Ok(T::default());
            }
        };
        match attempt(call, asked, Fault::NotReady(call), || answer(raw, asked)) {
            Ok((data, end)) => {
                if end {
                    self.state = State::Ended;
                } else if let State::Limited(Limit { left, .. }) = &mut self.state {
                    // This is at most `asked`, and so at most `left`.
                    *left -= usize::try_from(data.length()).unwrap_or(*left);
                }
                Ok(data)
            }
            Err(fault) => Err(self.fail(fault)),
        }
    }

    #[inline]
    pub(super) fn fail(&mut self, fault: Fault) -> Fault {
        if !fault.may_pass() {
            self.state = State::Failed(fault);
        }
        fault
    }

    /// Allows `left` more bytes. A smaller limit that was set before stays.
    pub(super) fn limit(&mut self, max: usize, left: usize, size: Option<u64>) {
        let before = match self.state {
            State::Open => usize::MAX,
            State::Limited(limit) => limit.left,
            State::Ended | State::Failed(_) => return,
        };
        if left < before {
            self.state = State::Limited(Limit { left, max, size, find_end });
        }
    }

    /// The next list; `None` at the end.
    pub(super) fn list(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        self.pull(Call::Read, MAX_READ as u64, |raw, asked| {
            let (list, end) = wasi_io::read(raw, asked)?;
            Ok(((!list.is_empty()).then_some(list), end))
        })
    }

    /// Reads into `buf`, which must not be empty. 0 is the end.
    pub(super) fn read_into(&mut self, buf: &mut [MaybeUninit<u8>]) -> Result<usize, Fault> {
        let room = buf.len().min(MAX_READ) as u64;
        self.pull(Call::Read, room, |raw, asked| {
            let room = usize::try_from(asked).map_or(buf.len(), |asked| asked.min(buf.len()));
            wasi_io::read_into(raw, &mut buf[..room])
        })
    }

    /// Reads the next chunk into `buffer`, which must be empty.
    pub(super) fn fill(&mut self, buffer: &mut Buffer) -> Result<(), Fault> {
        // The end needs no memory.
        if matches!(self.state, State::Ended) {
            return Ok(());
        }
        let memory = buffer.memory();
        match self.pull(Call::Read, MAX_READ as u64, |raw, asked| wasi_io::read_to(raw, asked, memory)) {
            Ok(len) => {
                buffer.filled(len);
                Ok(())
            }
            Err(fault) => {
                // The answer may be longer than the requested length. Its memory is not kept.
                buffer.discard();
                Err(fault)
            }
        }
    }

    /// Appends the next bytes to `buf`, and returns how many: 0 is the end.
    #[allow(unsafe_code, reason = "the host writes into the spare room of a Vec")]
    pub(super) fn append(&mut self, buf: &mut Vec<u8>) -> Result<usize, Fault> {
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
