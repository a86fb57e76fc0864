//! The interface `wasi-io`.
//!
//! All functions have one error: they trap. They trap when a handle is bad (unless [`BadHandle::Note`](crate::BadHandle::Note)),
//! when the guest exceeds a limit, and when the host has no such function. `splice`, `forward` and `write-repeated` also trap
//! when the host's interrupt returns `true`.
//!
//! The public functions check the guest's calls and account for them. The functions after them do what a well-behaved host does.

#![allow(clippy::missing_errors_doc, reason = "the module's documentation states the one error of all functions")]

use super::decorator::Step;
use super::object::{Input, Object, Output};
use super::{CallResult, Host, StreamError, StreamResult};
use crate::accounts::{Fault, HandleKind};

impl Host {
    /// `read`
    pub fn read(&mut self, src: u32, len: u64) -> StreamResult<(Vec<u8>, bool)> {
        self.calls += 1;
        if len > MOST_ASKED && self.input(src).is_some() {
            self.violate(Fault::Unbounded, HandleKind::InputStream, src, "read");
        }
        if !self.check_input("read", src, len)? {
            return Ok(Err(StreamError));
        }
        let answer = self.decorated(|host| host.read(src, len));
        if let Ok((_, end)) = &answer {
            self.set_ended(src, *end);
        }
        Ok(answer)
    }

    /// `skip`
    pub fn skip(&mut self, src: u32, len: u64) -> StreamResult<(u64, bool)> {
        self.calls += 1;
        if !self.check_input("skip", src, len)? {
            return Ok(Err(StreamError));
        }
        let answer = self.decorated(|host| host.skip(src, len));
        if let Ok((_, end)) = answer {
            self.set_ended(src, end);
        }
        Ok(answer)
    }

    /// `write`
    pub fn write(&mut self, dst: u32, buf: &[u8]) -> StreamResult<u64> {
        self.calls += 1;
        if !self.check_output("write", dst, buf.len() as u64)? {
            return Ok(Err(StreamError));
        }
        self.decorated(|host| host.write(dst, buf))
    }

    /// `write-repeated`
    pub fn write_repeated(&mut self, dst: u32, byte: u8, len: u64) -> StreamResult<u64> {
        self.calls += 1;
        self.check_interrupt("write-repeated")?;
        if !self.check_output("write-repeated", dst, len)? {
            return Ok(Err(StreamError));
        }
        self.decorated(|host| host.write_repeated(dst, byte, len))
    }

    /// `splice`
    pub fn splice(&mut self, dst: u32, src: u32, len: u64) -> StreamResult<(u64, bool)> {
        self.calls += 1;
        self.check_interrupt("splice")?;
        if !self.check_input("splice", src, len)? || !self.check_output("splice", dst, CHUNK)? {
            return Ok(Err(StreamError));
        }
        self.transfer(Step { call: "splice", dst, src, len })
    }

    /// `forward`
    pub fn forward(&mut self, dst: u32, src: u32) -> StreamResult<u64> {
        self.calls += 1;
        if !self.check_input("forward", src, CHUNK)? || !self.check_output("forward", dst, CHUNK)? {
            return Ok(Err(StreamError));
        }
        let step = Step { call: "forward", dst, src, len: CHUNK };
        let mut forwarded = 0;
        let mut idle = 0_u32;
        loop {
            self.check_interrupt("forward")?;
            let Ok((moved, end)) = self.transfer(step)? else { return Ok(Err(StreamError)) };
            forwarded += moved;
            if end {
                return Ok(Ok(forwarded));
            }
            // The draft allows a host to fail here. A host that waits for ever would hang.
            idle = if moved == 0 { idle + 1 } else { 0 };
            if idle > 100_000 {
                return Ok(Err(StreamError));
            }
        }
    }

    /// `drop-input-stream`
    #[inline]
    pub fn drop_input_stream(&mut self, f: u32) -> CallResult<()> {
        self.drop_handle(HandleKind::InputStream, f, "drop-input-stream")
    }

    /// `drop-output-stream`
    pub fn drop_output_stream(&mut self, f: u32) -> CallResult<()> {
        self.drop_handle(HandleKind::OutputStream, f, "drop-output-stream")
    }

    /// Checks a call on the input stream `src`. If it returns `false`, the call fails.
    fn check_input(&mut self, call: &'static str, src: u32, len: u64) -> CallResult<bool> {
        let Some(&mut Input { ended, failed, .. }) = self.input(src) else {
            self.missing(HandleKind::InputStream, src, call)?;
            return Ok(false);
        };
        if len == 0 {
            self.violate(Fault::Empty, HandleKind::InputStream, src, call);
        }
        if failed {
            self.violate(Fault::UsedAfterFailure, HandleKind::InputStream, src, call);
        } else if ended {
            self.violate(Fault::ReadAfterEnd, HandleKind::InputStream, src, call);
        }
        Ok(!failed)
    }

    /// Checks a call on the output stream `dst`. If it returns `false`, the call fails.
    fn check_output(&mut self, call: &'static str, dst: u32, len: u64) -> CallResult<bool> {
        let Some(&mut Output { failed, .. }) = self.output(dst) else {
            self.missing(HandleKind::OutputStream, dst, call)?;
            return Ok(false);
        };
        if len == 0 {
            self.violate(Fault::Empty, HandleKind::OutputStream, dst, call);
        }
        if failed {
            self.violate(Fault::UsedAfterFailure, HandleKind::OutputStream, dst, call);
        }
        Ok(!failed)
    }

    fn transfer(&mut self, step: Step) -> StreamResult<(u64, bool)> {
        let answer = self.decorated(|host| host.transfer(step))?;
        if let Ok((_, end)) = answer {
            self.set_ended(step.src, end);
        }
        Ok(answer)
    }

    /// Records whether the host has reported the end of an input stream to the guest.
    fn set_ended(&mut self, src: u32, ended: bool) {
        if let Some(input) = self.input(src) {
            input.ended = ended;
        }
    }

    #[inline]
    pub(crate) fn input(&mut self, src: u32) -> Option<&mut Input> {
        match self.table.get(HandleKind::InputStream, src) {
            Some(Object::Input(input)) => Some(input),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn output(&mut self, dst: u32) -> Option<&mut Output> {
        match self.table.get(HandleKind::OutputStream, dst) {
            Some(Object::Output(output)) => Some(output),
            _ => None,
        }
    }

    /// Makes an input stream fail. The guest must only drop it then.
    pub(crate) fn fail_input(&mut self, src: u32) -> StreamError {
        if let Some(input) = self.input(src) {
            input.failed = true;
        }
        StreamError
    }

    /// Makes an output stream fail. The guest must only drop it then.
    pub(crate) fn fail_output(&mut self, dst: u32) -> StreamError {
        if let Some(output) = self.output(dst) {
            output.failed = true;
        }
        StreamError
    }

    /// The number of bytes that an input stream still has.
    pub(crate) fn left(&mut self, src: u32) -> u64 {
        self.input(src).map_or(0, |input| input.left())
    }

    /// The number of bytes that were written through an output stream.
    pub(crate) fn written_to(&mut self, dst: u32) -> u64 {
        self.output(dst).map(|output| output.number).map_or(0, |number| self.written.len(number))
    }
}

/// The functions of a well-behaved host.
impl Host {
    pub(super) fn read_input(&mut self, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        let most = self.most_read;
        let Some(input) = self.input(src) else { return Err(StreamError) };
        input.take(len.min(most))
    }

    pub(super) fn skip_input(&mut self, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        let most = self.most_read;
        let Some(input) = self.input(src) else { return Err(StreamError) };
        let skipped = len.min(most).min(input.left());
        input.offset += skipped;
        Ok((skipped, input.left() == 0))
    }

    pub(super) fn write_output(&mut self, dst: u32, buf: &[u8]) -> StreamResult<u64> {
        self.append("write", dst, buf.len() as u64, |body, kept| body.extend_from_slice(&buf[..kept])).map(Ok)
    }

    pub(super) fn repeat_in_output(&mut self, dst: u32, byte: u8, len: u64) -> StreamResult<u64> {
        let append = |body: &mut Vec<u8>, kept| body.resize(body.len() + kept, byte);
        self.append("write-repeated", dst, len.min(CHUNK), append).map(Ok)
    }

    pub(super) fn move_bytes(&mut self, step: Step) -> StreamResult<(u64, bool)> {
        let Step { call, dst, src, len } = step;
        let Some(input) = self.input(src) else { return Ok(Err(StreamError)) };
        let Ok((data, end)) = input.take(len.min(CHUNK)) else { return Ok(Err(StreamError)) };
        let moved = self.append(call, dst, data.len() as u64, |body, kept| body.extend_from_slice(&data[..kept]))?;
        Ok(Ok((moved, end)))
    }

    /// Adds `len` bytes to the value that `dst` writes, and returns `len`. `append` adds as many of them as the host keeps.
    fn append(
        &mut self,
        call: &'static str,
        dst: u32,
        len: u64,
        append: impl FnOnce(&mut Vec<u8>, usize),
    ) -> CallResult<u64> {
        let Some(number) = self.output(dst).map(|output| output.number) else { return Ok(0) };
        let bytes = usize::try_from(len).unwrap_or(0);
        let growth = self.written.growth(number, bytes, self.keep);
        self.admit_bytes(call, growth as u64)?;
        self.written.write(number, bytes, growth, self.keep, append);
        Ok(len)
    }
}

impl Input {
    /// The number of bytes that are left.
    fn left(&self) -> u64 {
        self.content.len() - self.offset
    }

    /// The next bytes, at most `most` of them, and whether they are the last ones.
    fn take(&mut self, most: u64) -> Result<(Vec<u8>, bool), StreamError> {
        let len = most.min(self.left());
        let Ok(data) = self.content.read(self.offset, len) else {
            self.failed = true;
            return Err(StreamError);
        };
        self.offset += len;
        Ok((data, self.left() == 0))
    }
}

/// The most bytes that a host moves or makes at once.
const CHUNK: u64 = 1024 * 1024;

/// The most bytes that a read may ask for. Some hosts allocate as many bytes as a guest asks for.
const MOST_ASKED: u64 = 16 * 1024 * 1024;
