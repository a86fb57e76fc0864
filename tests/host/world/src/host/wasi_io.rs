//! The interface `wasi-io`.
//!
//! All functions have one error: they trap. They trap when a handle is bad (unless [`BadHandle::Note`]), when the guest exceeds a
//! limit, and when the host has no such function. `splice`, `forward` and `write-repeated` also trap when the host's
//! interrupt says so.

#![allow(clippy::missing_errors_doc, reason = "the module's documentation states the one error of all functions")]

use super::{Called, Host, Input, Object, Output, StreamError, Streamed};
use crate::accounts::{Fault, Kind};
use crate::personality::{AfterEnd, End, Repeat, Size, Transfer, Writing};

/// What is read next from an input stream.
struct Piece {
    len: u64,
    end: bool,
}

impl Host {
    /// `read`
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
    pub fn write(&mut self, dst: u32, buf: &[u8]) -> Streamed<u64> {
        self.calls += 1;
        let Some(taken) = self.next_room("write", dst, buf.len() as u64)? else { return Ok(Err(StreamError)) };
        let taken_bytes = &buf[..usize::try_from(taken).unwrap_or(0)];
        self.store("write", dst, taken, |body, kept| body.extend_from_slice(&taken_bytes[..kept]))?;
        Ok(Ok(self.claimed(taken, buf.len() as u64)))
    }

    /// `write-repeated`
    pub fn write_repeated(&mut self, dst: u32, byte: u8, len: u64) -> Streamed<u64> {
        self.calls += 1;
        self.check_interrupt("write-repeated")?;
        let most = len.min(CHUNK);
        let Some(taken) = self.next_room("write-repeated", dst, most)? else { return Ok(Err(StreamError)) };
        self.store("write-repeated", dst, taken, |body, kept| body.resize(body.len() + kept, byte))?;
        Ok(Ok(self.claimed(taken, len)))
    }

    /// `splice`
    pub fn splice(&mut self, dst: u32, src: u32, len: u64) -> Streamed<(u64, bool)> {
        self.calls += 1;
        self.transfer("splice")?;
        self.check_interrupt("splice")?;
        let Some(piece) = self.next_piece("splice", src, len.min(CHUNK))? else { return Ok(Err(StreamError)) };
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
    pub fn forward(&mut self, dst: u32, src: u32) -> Streamed<u64> {
        self.calls += 1;
        self.transfer("forward")?;
        let mut forwarded = 0;
        let mut idle = 0_u32;
        loop {
            self.check_interrupt("forward")?;
            let Some(piece) = self.next_piece("forward", src, CHUNK)? else { return Ok(Err(StreamError)) };
            let moved = self.pass("forward", dst, src, piece.len)?;
            let Some(moved) = moved else { return Ok(Err(StreamError)) };
            forwarded += moved;
            if piece.end && moved == piece.len {
                if let Some(input) = self.input(src) {
                    input.ended = true;
                }
                return Ok(Ok(forwarded));
            }
            // The draft allows a host to fail, and a host that waits for ever would hang.
            idle = if moved == 0 { idle + 1 } else { 0 };
            if idle > 100_000 {
                return Ok(Err(StreamError));
            }
        }
    }

    /// `drop-input-stream`
    #[inline]
    pub fn drop_input_stream(&mut self, f: u32) -> Called<()> {
        self.drop_handle(Kind::InputStream, f, "drop-input-stream")
    }

    /// `drop-output-stream`
    pub fn drop_output_stream(&mut self, f: u32) -> Called<()> {
        self.drop_handle(Kind::OutputStream, f, "drop-output-stream")
    }

    fn input(&mut self, src: u32) -> Option<&mut Input> {
        match self.table.get(Kind::InputStream, src).map(|entry| &mut entry.object) {
            Some(Object::Input(input)) => Some(input),
            _ => None,
        }
    }

    pub(super) fn output(&mut self, dst: u32) -> Option<&mut Output> {
        match self.table.get(Kind::OutputStream, dst).map(|entry| &mut entry.object) {
            Some(Object::Output(output)) => Some(output),
            _ => None,
        }
    }

    /// How much a call takes from the input stream `src`. `None` if the call fails.
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
        // A read of length 0 does not report the end before the data was read.
        let end = end && (len > 0 || left == 0);
        if let Some(input) = self.input(src) {
            input.ended = end;
        }
        Ok(Some(Piece { len: now, end }))
    }

    /// How much of `len` bytes the output stream `dst` takes. `None` if the call fails.
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
        let written = self.written.len(number);
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

    /// How much the host claims to have taken.
    fn claimed(&self, taken: u64, given: u64) -> u64 {
        let excess = self.personality.write.excess;
        if excess > 0 && taken > 0 { given.saturating_add(excess) } else { taken }
    }

    /// Adds `len` bytes to the value that `dst` writes. `append` adds as many of them as the host keeps.
    fn store(
        &mut self,
        call: &'static str,
        dst: u32,
        len: u64,
        append: impl FnOnce(&mut Vec<u8>, usize),
    ) -> Called<()> {
        let Some(number) = self.output(dst).map(|output| output.number) else { return Ok(()) };
        let len = usize::try_from(len).unwrap_or(0);
        let growth = self.written.growth(number, len, self.keep);
        self.admit_bytes(call, growth as u64)?;
        self.written.write(number, len, growth, self.keep, append);
        Ok(())
    }

    fn transfer(&mut self, call: &'static str) -> Called<()> {
        match self.personality.transfer {
            Transfer::Works => Ok(()),
            Transfer::Traps => Err(self.trap(format!("`{call}` is not implemented by this host"))),
        }
    }

    /// Moves up to `len` bytes from the stream `src` to the stream `dst`. `None` if one of them fails.
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
        self.store(call, dst, taken, |body, kept| body.extend_from_slice(&data[..kept]))?;
        Ok(Some(taken))
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

/// The most bytes that a `read` answers with, even if the personality has an excess.
const MOST_ANSWERED: u64 = 32 * 1024 * 1024;

/// The most that a host moves or makes at once.
const CHUNK: u64 = 1024 * 1024;

/// The most that a read may ask for. Some hosts allocate what they are asked for.
const MOST_ASKED: u64 = 16 * 1024 * 1024;

/// Whether a stream does something in this call. Before each time, it does nothing as often as `idle` says.
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
