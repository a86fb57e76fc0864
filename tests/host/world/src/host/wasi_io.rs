//! The interface `wasi-io`.
//!
//! All functions have one error: they trap. They trap when a handle is bad (unless [`BadHandle::Note`](crate::BadHandle::Note)), when the guest exceeds a
//! limit, and when the host has no such function. `splice`, `forward` and `write-repeated` also trap when the host's
//! interrupt says so.

#![allow(clippy::missing_errors_doc, reason = "the module's documentation states the one error of all functions")]

use super::{Called, Host, Input, Object, Output, StreamError, Streamed};
use crate::accounts::{Fault, Kind};
use crate::personality::{AfterEnd, Personality, Transfer};
use crate::table::Table;

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
        let Some(input) = self.input(src) else { return Ok(Err(StreamError)) };
        let Ok(mut data) = input.content.read(input.offset, piece.len) else {
            input.failed = true;
            return Ok(Err(StreamError));
        };
        input.offset += piece.len;
        self.personality.read.exceed(&mut data, len);
        Ok(Ok((data, piece.end)))
    }

    /// `skip`
    pub fn skip(&mut self, src: u32, len: u64) -> Streamed<(u64, bool)> {
        self.calls += 1;
        let Some(piece) = self.next_piece("skip", src, len)? else { return Ok(Err(StreamError)) };
        if let Some(input) = self.input(src) {
            input.offset += piece.len;
        }
        let skipped = self.personality.read.claimed(piece.len, len);
        Ok(Ok((skipped, piece.end)))
    }

    /// `write`
    pub fn write(&mut self, dst: u32, buf: &[u8]) -> Streamed<u64> {
        self.calls += 1;
        let Some(taken) = self.next_room("write", dst, buf.len() as u64)? else { return Ok(Err(StreamError)) };
        let taken_bytes = &buf[..usize::try_from(taken).unwrap_or(0)];
        self.append("write", dst, taken, |body, kept| body.extend_from_slice(&taken_bytes[..kept]))?;
        Ok(Ok(self.personality.write.claimed(taken, buf.len() as u64)))
    }

    /// `write-repeated`
    pub fn write_repeated(&mut self, dst: u32, byte: u8, len: u64) -> Streamed<u64> {
        self.calls += 1;
        self.check_interrupt("write-repeated")?;
        let most = len.min(CHUNK);
        let Some(taken) = self.next_room("write-repeated", dst, most)? else { return Ok(Err(StreamError)) };
        self.append("write-repeated", dst, taken, |body, kept| body.resize(body.len() + kept, byte))?;
        Ok(Ok(self.personality.write.claimed(taken, len)))
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
        let claimed = self.personality.read.claimed(moved, len);
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
        input_of(&mut self.table, src)
    }

    pub(super) fn output(&mut self, dst: u32) -> Option<&mut Output> {
        output_of(&mut self.table, dst)
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

        let Self { table, personality: Personality { read: reading, .. }, random, .. } = self;
        let Some(input) = input_of(table, src) else { return Ok(None) };
        input.offset = offset;
        input.ended = false;
        if !reading.empty.is_over(&mut input.empty) {
            return Ok(Some(Piece { len: 0, end: false }));
        }
        let left = total - offset;
        let Some(most) = reading.most(len, offset, left) else {
            input.failed = true;
            return Ok(None);
        };
        let taken = reading.size.part(most, random);
        input.ended = reading.ends(len, taken, left);
        Ok(Some(Piece { len: taken, end: input.ended }))
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
        let written = self.written.len(number);
        let Self { table, personality: Personality { write: writing, .. }, random, .. } = self;
        let Some(output) = output_of(table, dst) else { return Ok(None) };
        if !writing.empty.is_over(&mut output.empty) {
            return Ok(Some(0));
        }
        let Some(most) = writing.most(len, written) else {
            output.failed = true;
            return Ok(None);
        };
        Ok(Some(writing.size.part(most, random)))
    }

    /// Adds `len` bytes to the value that `dst` writes. `append` adds as many of them as the host keeps.
    fn append(
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
        self.append(call, dst, taken, |body, kept| body.extend_from_slice(&data[..kept]))?;
        Ok(Some(taken))
    }
}

#[inline]
fn input_of(table: &mut Table<Object>, src: u32) -> Option<&mut Input> {
    match table.get(Kind::InputStream, src).map(|entry| &mut entry.object) {
        Some(Object::Input(input)) => Some(input),
        _ => None,
    }
}

#[inline]
fn output_of(table: &mut Table<Object>, dst: u32) -> Option<&mut Output> {
    match table.get(Kind::OutputStream, dst).map(|entry| &mut entry.object) {
        Some(Object::Output(output)) => Some(output),
        _ => None,
    }
}

/// The most that a host moves or makes at once.
const CHUNK: u64 = 1024 * 1024;

/// The most that a read may ask for. Some hosts allocate what they are asked for.
const MOST_ASKED: u64 = 16 * 1024 * 1024;
