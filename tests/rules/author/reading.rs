use std::io::{BufRead, ErrorKind, Read as _};
use std::mem;

use inbound_keyvalue::testing::{Personality, Repeat, TestHost};
use inbound_keyvalue::{Error, InputStream, MAX_ATTEMPTS, MAX_READ, Payload};

use super::{Checked, Idle, clean, ensure, most_calls, refuses_streams, turns};

/// The calls that an author may make while reading.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Read(usize),
    ReadExact(usize),
    FillAndConsume(usize),
    Line,
    Chunk,
    /// This number of chunks of the iterator.
    Chunks(usize),
    Skip(u64),
    /// With this capacity in the `Vec`.
    ToEnd(usize),
    /// Only on a `Payload`, because a stream has no limit of its own.
    Limit(usize),
    IntoStream,
}

/// How an author reads the rest in the end.
#[derive(Clone, Debug)]
pub(crate) enum Finale {
    ToEnd,
    Chunks,
    IntoChunks,
    Bytes,
    Vec,
    Text,
    BytesLimited(usize),
}

/// The author gets the whole payload, in order, once. An error has a reason. Every handle is dropped once.
pub(crate) fn reads_in_order_once(
    personality: &Personality,
    content: &[u8],
    readings: &[Reading],
    finale: &Finale,
) -> Checked {
    let mut host = TestHost::<Idle>::with(personality.clone());
    let mut reader = Reader::Payload(host.payload(content.to_vec()));
    let mut law = Law { personality, content, at: 0, until: usize::MAX, dead: None, lost: None };
    for reading in readings {
        let before = host.host().calls();
        law.step(&mut reader, reading).map_err(|problem| format!("{reading:?}: {problem}"))?;
        let made = host.host().calls() - before;
        ensure!(made <= most_calls(content.len()), "{made} calls for {reading:?}");
        if law.lost.is_some() || matches!(reader, Reader::Gone) {
            break;
        }
    }
    match law.lost {
        Some((first, last)) => law.finds_its_place(reader, first, last)?,
        None => law.finish(reader, finale).map_err(|problem| format!("{finale:?}: {problem}"))?,
    }
    clean(host)
}

/// The type through which the author reads.
enum Reader {
    Payload(Payload),
    Stream(InputStream),
    /// The host refused to open the stream.
    Gone,
}

impl Reader {
    fn stream(&mut self) -> Result<&mut InputStream, Error> {
        *self = match mem::replace(self, Self::Gone) {
            Self::Payload(payload) => Self::Stream(payload.into_stream()?),
            reader => reader,
        };
        match self {
            Self::Stream(stream) => Ok(stream),
            Self::Payload(_) | Self::Gone => unreachable!("the stream was refused, and the script went on"),
        }
    }
}

/// The position of an author in a payload, and the bytes that may come next.
struct Law<'a> {
    personality: &'a Personality,
    content: &'a [u8],
    /// The number of bytes that the author has read or skipped.
    at: usize,
    /// The position where a limit cuts the payload.
    until: usize,
    /// The error that ended the stream.
    dead: Option<ErrorKind>,
    /// The first and the last possible position of the author after a call that did not report its progress.
    lost: Option<(usize, usize)>,
}

impl Law<'_> {
    fn end(&self) -> usize {
        self.content.len().min(self.until)
    }

    fn is_cut(&self) -> bool {
        self.until < self.content.len()
    }

    /// These bytes are the next ones.
    fn take(&mut self, bytes: &[u8]) -> Checked {
        let after = self.at + bytes.len();
        ensure!(after <= self.end(), "{} bytes at {}, and the end is at {}", bytes.len(), self.at, self.end());
        ensure!(self.content[self.at..after] == *bytes, "other bytes at {}", self.at);
        ensure!(bytes.is_empty() || self.dead.is_none(), "bytes after {:?}", self.dead);
        self.at = after;
        Ok(())
    }

    /// Nothing comes any more.
    fn ended(&self) -> Checked {
        ensure!(self.dead.is_none(), "the end after {:?}", self.dead);
        ensure!(!self.is_cut(), "an end at the limit, before the end of the payload");
        ensure!(self.at == self.content.len(), "the end at {} of {}", self.at, self.content.len());
        Ok(())
    }

    /// At least one byte, or the end.
    fn some(&mut self, bytes: &[u8]) -> Checked {
        self.take(bytes)?;
        if bytes.is_empty() { self.ended() } else { Ok(()) }
    }

    /// An error. `blind` is the number of bytes of a call that does not report its progress.
    fn error(&mut self, kind: ErrorKind, blind: Option<usize>) -> Checked {
        if let Some(dead) = self.dead {
            ensure!(kind == dead, "{kind:?} after {dead:?}");
            return Ok(());
        }
        let last = self.at + blind.unwrap_or(0).min(self.end() - self.at);
        let reading = &self.personality.read;
        match kind {
            ErrorKind::WouldBlock => {
                ensure!(turns(reading.empty) > MAX_ATTEMPTS, "not ready, and the host was");
                self.lost = blind.is_some().then_some((self.at, last));
                return Ok(());
            }
            ErrorKind::FileTooLarge => {
                ensure!(self.is_cut(), "too large for a limit at {}", self.until);
                ensure!(last == self.end(), "too large at {}, and the limit is at {}", self.at, self.until);
                self.at = last;
            }
            ErrorKind::InvalidData => ensure!(reading.excess > 0, "a host that keeps its promise"),
            ErrorKind::Other => {
                if !refuses_streams(self.personality) {
                    let place = reading.error_at.and_then(|at| usize::try_from(at).ok());
                    let place = place.filter(|place| (self.at..=last).contains(place));
                    self.at = place.ok_or_else(|| format!("a failure at {}, where the host has none", self.at))?;
                }
            }
            _ => return Err(format!("{kind:?} is no error of a read")),
        }
        self.dead = Some(kind);
        Ok(())
    }

    fn step(&mut self, reader: &mut Reader, reading: &Reading) -> Checked {
        match (reading, &mut *reader) {
            (Reading::Limit(max), Reader::Payload(_)) => {
                if let Reader::Payload(payload) = mem::replace(reader, Reader::Gone) {
                    *reader = Reader::Payload(payload.limit(*max));
                }
                self.until = self.until.min(self.at + max);
                Ok(())
            }
            (Reading::Limit(_), _) => Ok(()),
            (Reading::Chunk | Reading::Chunks(_) | Reading::Skip(_) | Reading::IntoStream, reader) => {
                match reader.stream() {
                    Ok(stream) => self.step_of_stream(stream, reading),
                    Err(error) => self.error(error.kind(), None),
                }
            }
            (_, Reader::Payload(payload)) => self.step_of_std(payload, reading),
            (_, Reader::Stream(stream)) => self.step_of_std(stream, reading),
            (_, Reader::Gone) => unreachable!("the stream was refused, and the script went on"),
        }
    }

    fn step_of_stream(&mut self, stream: &mut InputStream, reading: &Reading) -> Checked {
        match reading {
            Reading::Chunk => match stream.chunk() {
                Ok(Some(chunk)) => {
                    ensure!((1..=MAX_READ).contains(&chunk.len()), "a chunk of {} bytes", chunk.len());
                    self.take(&chunk)
                }
                Ok(None) => self.ended(),
                Err(error) => self.error(error.kind(), None),
            },
            Reading::Chunks(most) => self.chunks(stream.chunks(), *most),
            Reading::Skip(len) => match stream.skip(*len) {
                Ok(skipped) => {
                    let skipped = usize::try_from(skipped).map_err(|error| error.to_string())?;
                    let due = usize::try_from(*len).unwrap_or(usize::MAX).min(self.content.len() - self.at);
                    ensure!(skipped == due, "{skipped} bytes skipped, not {due}");
                    ensure!(self.at + skipped <= self.end(), "skipped past the limit");
                    ensure!(skipped == 0 || self.dead.is_none(), "skipped after {:?}", self.dead);
                    self.at += skipped;
                    Ok(())
                }
                Err(error) => self.error(error.kind(), Some(usize::try_from(*len).unwrap_or(usize::MAX))),
            },
            _ => Ok(()),
        }
    }

    /// Up to `most` items of an iterator over chunks, which is fused.
    fn chunks(
        &mut self,
        mut chunks: impl Iterator<Item = Result<inbound_keyvalue::Bytes, Error>>,
        most: usize,
    ) -> Checked {
        for _ in 0..most {
            match chunks.next() {
                Some(Ok(chunk)) => {
                    ensure!(!chunk.is_empty(), "an empty chunk");
                    self.take(&chunk)?;
                    continue;
                }
                Some(Err(error)) => self.error(error.kind(), None)?,
                None => self.ended()?,
            }
            ensure!(chunks.next().is_none(), "an item after the last");
            break;
        }
        Ok(())
    }

    fn step_of_std(&mut self, reader: &mut impl BufRead, reading: &Reading) -> Checked {
        match reading {
            Reading::Read(len) => {
                let mut buf = vec![0; *len];
                match reader.read(&mut buf) {
                    Ok(0) if *len == 0 => Ok(()),
                    Ok(read) => self.some(&buf[..read]),
                    Err(error) => self.error(error.kind(), None),
                }
            }
            Reading::ReadExact(len) => {
                let mut buf = vec![0; *len];
                match reader.read_exact(&mut buf) {
                    Ok(()) => self.take(&buf),
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        let left = self.content.len() - self.at;
                        ensure!(left < *len, "no {len} bytes, and {left} are left");
                        self.at = self.content.len();
                        self.ended()
                    }
                    Err(error) => self.error(error.kind(), Some(*len)),
                }
            }
            Reading::FillAndConsume(len) => match reader.fill_buf() {
                Ok(held) => {
                    let (used, before) = (held.len().min(*len), self.at);
                    self.some(held)?;
                    self.at = before + used;
                    reader.consume(used);
                    Ok(())
                }
                Err(error) => self.error(error.kind(), None),
            },
            Reading::Line => {
                let mut line = Vec::new();
                let outcome = reader.read_until(b'\n', &mut line);
                self.take(&line)?;
                let newline = line.iter().position(|&byte| byte == b'\n');
                match outcome {
                    Ok(_) if newline.is_some() => {
                        ensure!(newline == Some(line.len() - 1), "more than a line");
                        Ok(())
                    }
                    Ok(_) => self.ended(),
                    Err(error) => {
                        ensure!(newline.is_none(), "more than a line, and an error");
                        self.error(error.kind(), None)
                    }
                }
            }
            Reading::ToEnd(capacity) => {
                let mut rest = Vec::with_capacity(*capacity);
                let outcome = reader.read_to_end(&mut rest);
                self.take(&rest)?;
                match outcome {
                    Ok(read) => {
                        ensure!(read == rest.len(), "{read} is not the length of {}", rest.len());
                        self.ended()
                    }
                    Err(error) => self.error(error.kind(), None),
                }
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, reader: Reader, finale: &Finale) -> Checked {
        match (finale, reader) {
            (_, Reader::Gone) => Ok(()),
            (Finale::ToEnd, Reader::Payload(mut payload)) => self.read_to_the_end(&mut payload),
            (Finale::ToEnd, Reader::Stream(mut stream)) => self.read_to_the_end(&mut stream),
            (Finale::Bytes, Reader::Payload(payload)) => {
                let synchronous = payload.as_raw().is_some();
                self.whole(payload.into_bytes().map(Vec::from), synchronous)
            }
            (Finale::Vec, Reader::Payload(payload)) => {
                let synchronous = payload.as_raw().is_some();
                self.whole(payload.into_vec(), synchronous)
            }
            (Finale::Text, Reader::Payload(payload)) => {
                let synchronous = payload.as_raw().is_some();
                let whole = match payload.into_string() {
                    Ok(text) => Ok(text.into_bytes()),
                    Err(Error::Utf8 { position, bytes, .. }) => {
                        let invalid = std::str::from_utf8(&bytes).err().map(|error| error.valid_up_to());
                        ensure!(invalid == Some(position), "not UTF-8 at {position}, but at {invalid:?}");
                        Ok(bytes)
                    }
                    Err(error) => Err(error),
                };
                self.whole(whole, synchronous)
            }
            (Finale::BytesLimited(max), Reader::Payload(payload)) => {
                self.until = self.until.min(self.at + max);
                self.whole(payload.into_bytes_limited(*max).map(Vec::from), false)
            }
            (Finale::Chunks, Reader::Stream(mut stream)) => self.chunks(stream.chunks(), usize::MAX),
            (_, Reader::Stream(stream)) => self.chunks(stream.into_iter(), usize::MAX),
            (Finale::Chunks | Finale::IntoChunks, Reader::Payload(payload)) => match payload.into_stream() {
                Ok(stream) => self.chunks(stream.into_iter(), usize::MAX),
                Err(error) => self.error(error.kind(), None),
            },
        }
    }

    /// The result of a call that takes the payload. `synchronous` means that the payload was not opened as a stream.
    fn whole(&mut self, whole: Result<Vec<u8>, Error>, synchronous: bool) -> Checked {
        match whole {
            Ok(bytes) => {
                self.take(&bytes)?;
                self.ended()
            }
            Err(error) if synchronous => {
                let refused = self.personality.consume_sync_error.is_some();
                ensure!(refused && error.kind() == ErrorKind::Other, "{error}, and the host refused nothing");
                Ok(())
            }
            Err(error) => self.error(error.kind(), Some(usize::MAX)),
        }
    }

    /// The most calls that are needed to reach the end of a payload, if each call that is not ready is repeated.
    fn most_tries(&self) -> usize {
        let tries = turns(self.personality.read.empty) / MAX_ATTEMPTS + 1;
        usize::try_from(tries).unwrap_or(usize::MAX).saturating_mul(self.content.len() + 2)
    }

    /// Reads until the end, or until an error that stays.
    fn read_to_the_end(&mut self, reader: &mut impl BufRead) -> Checked {
        for _ in 0..self.most_tries() {
            let mut rest = Vec::new();
            let outcome = reader.read_to_end(&mut rest);
            self.take(&rest)?;
            match outcome {
                Ok(_) => return self.ended(),
                Err(error) => self.error(error.kind(), None)?,
            }
            if self.dead.is_some() || self.personality.read.empty == Repeat::Forever {
                return Ok(());
            }
        }
        Err("never ready, and the host is now and then".to_owned())
    }

    /// After a call that did not report its progress: the rest is that of the payload from one of the possible positions.
    fn finds_its_place(&mut self, mut reader: Reader, first: usize, last: usize) -> Checked {
        if self.personality.read.empty == Repeat::Forever {
            return Ok(());
        }
        let mut rest = Vec::new();
        let stream = match reader.stream() {
            Ok(stream) => stream,
            Err(error) => return self.error(error.kind(), None),
        };
        let mut tries = 0..self.most_tries();
        let end = loop {
            ensure!(tries.next().is_some(), "never ready, and the host is now and then");
            match stream.read_to_end(&mut rest).map_err(|error| error.kind()) {
                Ok(_) if self.is_cut() => return Err("an end at the limit, before the end of the payload".to_owned()),
                Ok(_) => break self.content.len(),
                Err(ErrorKind::WouldBlock) => {}
                Err(ErrorKind::FileTooLarge) if self.is_cut() => break self.end(),
                Err(ErrorKind::Other) => match self.personality.read.error_at {
                    Some(place) => break usize::try_from(place).unwrap_or(usize::MAX).min(self.end()),
                    None => return Err("a failure, where the host has none".to_owned()),
                },
                Err(ErrorKind::InvalidData) if self.personality.read.excess > 0 => return Ok(()),
                Err(kind) => return Err(format!("{kind:?} after a call that was not ready")),
            }
        };
        let started = end.checked_sub(rest.len()).ok_or("more than is left")?;
        ensure!((first..=last).contains(&started), "the rest from {started} on, not from {first} to {last}");
        ensure!(self.content[started..end] == rest, "other bytes in the rest from {started} on");
        Ok(())
    }
}
