//! An author who calls anything in any order, and what must hold all the same.
//!
//! The property tests and the fuzz target share this: they differ in where the calls come from.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};

use inbound_keyvalue::testing::{Personality, Repeat, TestHost};
use inbound_keyvalue::{Error, HandleWatch, InputStream, MAX_ATTEMPTS, Payload, Value, handle_watch};

/// A watcher to have a host with: the author calls the wrappers directly.
#[handle_watch]
#[derive(Debug, Default)]
pub(crate) struct Idle;

impl HandleWatch for Idle {}

/// What an author may call while reading.
#[derive(Clone, Debug)]
pub(crate) enum Reading {
    Read(usize),
    ReadExact(usize),
    FillAndConsume(usize),
    Line,
    Chunk,
    Skip(u64),
    ToEnd(usize),
}

/// What an author may call while writing.
#[derive(Clone, Debug)]
pub(crate) enum Writing {
    Write(Vec<u8>),
    WriteAll(Vec<u8>),
    Repeated(u8, u64),
    Flush,
    Splice(Vec<u8>, u64, bool),
    Forward(Vec<u8>, bool),
}

impl Writing {
    /// How many bytes it is about.
    fn len(&self) -> usize {
        match self {
            Self::Write(bytes) | Self::WriteAll(bytes) | Self::Splice(bytes, ..) | Self::Forward(bytes, _) => {
                bytes.len()
            }
            Self::Repeated(_, len) => usize::try_from(*len).unwrap_or(usize::MAX),
            Self::Flush => 0,
        }
    }
}

/// What came of one call: bytes, or so many bytes that were passed over, or an error.
enum Came {
    Bytes(Vec<u8>),
    Skipped(u64),
    Error(ErrorKind, Vec<u8>),
}

fn came(result: io::Result<Vec<u8>>) -> Came {
    result.map_or_else(|error| Came::Error(error.kind(), Vec::new()), Came::Bytes)
}

/// The wrapper that an author reads through.
enum Reader {
    Payload(Payload),
    Stream(InputStream),
}

impl Reader {
    fn act(&mut self, reading: &Reading) -> Came {
        match self {
            Self::Payload(payload) => match reading {
                // These two are the stream's own.
                Reading::Chunk | Reading::Skip(_) => Came::Bytes(Vec::new()),
                _ => act(payload, reading),
            },
            Self::Stream(stream) => match reading {
                Reading::Chunk => came(match stream.chunk() {
                    Ok(chunk) => Ok(chunk.unwrap_or_default().to_vec()),
                    Err(error) => Err(error.into()),
                }),
                Reading::Skip(len) => match stream.skip(*len) {
                    Ok(skipped) => Came::Skipped(skipped),
                    Err(error) => Came::Error(error.kind(), Vec::new()),
                },
                _ => act(stream, reading),
            },
        }
    }
}

fn act(reader: &mut impl io::BufRead, reading: &Reading) -> Came {
    match reading {
        Reading::Read(len) => {
            let mut buf = vec![0; *len];
            came(reader.read(&mut buf).map(|read| buf[..read].to_vec()))
        }
        Reading::ReadExact(len) => {
            let mut buf = vec![0; *len];
            came(reader.read_exact(&mut buf).map(|()| buf))
        }
        Reading::FillAndConsume(len) => {
            let taken = reader.fill_buf().map(|held| held[..held.len().min(*len)].to_vec());
            reader.consume(taken.as_ref().map_or(0, Vec::len));
            came(taken)
        }
        Reading::Line => {
            let mut line = Vec::new();
            match reader.read_until(b'\n', &mut line) {
                Ok(_) => Came::Bytes(line),
                Err(error) => Came::Error(error.kind(), line),
            }
        }
        Reading::ToEnd(capacity) => {
            let mut rest = Vec::with_capacity(*capacity);
            match reader.read_to_end(&mut rest) {
                Ok(read) => {
                    assert_eq!(read, rest.len());
                    Came::Bytes(rest)
                }
                Err(error) => Came::Error(error.kind(), rest),
            }
        }
        Reading::Chunk | Reading::Skip(_) => Came::Bytes(Vec::new()),
    }
}

/// Writes, and adds to `written` what is sure to have been written.
fn write(
    host: &mut TestHost<Idle>,
    value: &mut Value,
    writing: &Writing,
    written: &mut Vec<u8>,
) -> Result<(), ErrorKind> {
    let kind = |error: io::Error| error.kind();
    match writing {
        Writing::Write(bytes) => {
            let taken = value.write(bytes).map_err(kind)?;
            written.extend_from_slice(&bytes[..taken]);
        }
        Writing::WriteAll(bytes) => {
            value.write_all(bytes).map_err(kind)?;
            written.extend_from_slice(bytes);
        }
        Writing::Repeated(byte, len) => {
            value.body().and_then(|body| body.write_repeated(*byte, *len)).map_err(|error| error.kind())?;
            written.resize(written.len() + usize::try_from(*len).unwrap(), *byte);
        }
        Writing::Flush => value.flush().map_err(kind)?,
        Writing::Splice(content, len, held) => {
            let mut source = host.payload(content.clone()).into_stream().map_err(|error| error.kind())?;
            if *held {
                source.fill_buf().map_err(kind)?;
            }
            let moved = value.body().and_then(|body| body.splice(&mut source, *len)).map_err(|error| error.kind())?;
            assert_eq!(moved, (*len).min(content.len() as u64));
            written.extend_from_slice(&content[..usize::try_from(moved).unwrap()]);
        }
        Writing::Forward(content, held) => {
            let mut source = host.payload(content.clone()).into_stream().map_err(|error| error.kind())?;
            if *held {
                source.fill_buf().map_err(kind)?;
            }
            let moved = value.body().and_then(|body| body.forward(&mut source)).map_err(|error| error.kind())?;
            assert_eq!(moved, content.len() as u64);
            written.extend_from_slice(content);
        }
    }
    Ok(())
}

/// Whether the host gives a reason for this error, or the payload is at its end.
fn excused(personality: &Personality, kind: ErrorKind) -> bool {
    let turns = |repeat| match repeat {
        Repeat::Times(times) => times + 1,
        _ => u32::MAX,
    };
    let (reads, writes) = (turns(personality.read.empty), turns(personality.write.empty));
    match kind {
        // A splice waits for both streams.
        ErrorKind::WouldBlock => reads.saturating_mul(writes) > MAX_ATTEMPTS,
        ErrorKind::WriteZero => writes > MAX_ATTEMPTS,
        ErrorKind::InvalidData => personality.read.excess > 0 || personality.write.excess > 0,
        ErrorKind::Other => {
            personality.read.error_at.is_some()
                || personality.write.error_at.is_some()
                || personality.consume_async_error.is_some()
                || personality.consume_sync_error.is_some()
                || personality.value_body_error
                // A host cannot forward for ever, and has one error for everything.
                || reads == u32::MAX
                || writes == u32::MAX
        }
        _ => false,
    }
}

/// Calls that one call of the author's may come to, whatever the host does.
fn most_calls(bytes: usize) -> u64 {
    u64::from(MAX_ATTEMPTS) * (bytes as u64 + 4) + 16
}

/// Why something does not hold.
pub(crate) type Checked = Result<(), String>;

macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => {
        if !$holds {
            return Err(format!($($message)*));
        }
    };
}

fn clean(mut host: TestHost<Idle>) -> Checked {
    let violations = host.settle();
    ensure!(violations.is_empty(), "{violations:?}");
    Ok(())
}

/// The bytes read are the payload's, in order, once; an error has a reason; accounting ends at zero.
pub(crate) fn reads_in_order_once(
    personality: &Personality,
    content: &[u8],
    readings: &[Reading],
    as_stream: bool,
) -> Checked {
    let mut host = TestHost::<Idle>::with(personality.clone());
    let payload = host.payload(content.to_vec());
    let reader = if as_stream { payload.into_stream().map(Reader::Stream) } else { Ok(Reader::Payload(payload)) };
    let Ok(mut reader) = reader else { return clean(host) };
    let mut at = 0;
    // `read_exact` and `skip` do not tell how far they came before an error.
    let mut lost = false;
    for reading in readings {
        let before = host.host().calls();
        let came = reader.act(reading);
        let made = host.host().calls() - before;
        ensure!(made <= most_calls(content.len()), "{made} calls for {reading:?}");
        let (bytes, error) = match came {
            Came::Bytes(bytes) => (bytes, None),
            Came::Skipped(skipped) => {
                at += usize::try_from(skipped).unwrap_or(usize::MAX);
                (Vec::new(), None)
            }
            Came::Error(kind, bytes) => (bytes, Some(kind)),
        };
        if !lost {
            ensure!(content.get(at..at + bytes.len()) == Some(&bytes), "{reading:?} gave {bytes:?} at {at}");
            at += bytes.len();
        }
        if let Some(kind) = error {
            let blind = matches!(reading, Reading::ReadExact(_) | Reading::Skip(_));
            let ended = blind && kind == ErrorKind::UnexpectedEof;
            ensure!(ended || excused(personality, kind), "{kind:?} of {reading:?}");
            lost |= blind;
        }
    }
    drop(reader);
    clean(host)
}

/// So many bytes of a value does a host keep, unless it is told otherwise.
const KEPT: usize = 1 << 20;

/// What an author was told to be written is what the host has, in order.
pub(crate) fn writes_what_was_written(personality: &Personality, writings: &[Writing]) -> Checked {
    let mut host = TestHost::<Idle>::with(personality.clone());
    let mut value = Value::new();
    let mut written = Vec::new();
    let mut failed = false;
    for writing in writings {
        let before = host.host().calls();
        let outcome = write(&mut host, &mut value, writing, &mut written);
        let made = host.host().calls() - before;
        ensure!(made <= 2 * most_calls(writing.len()), "{made} calls for {writing:?}");
        if let Err(kind) = outcome {
            ensure!(excused(personality, kind), "{kind:?} of {writing:?}");
            // How much of it went through is not told.
            failed = true;
            break;
        }
    }
    let finished = value.finish();
    drop(value);
    let stored = host.host().values()[0].clone();
    let due = &written[..written.len().min(KEPT)];
    let (got, len) = (stored.bytes.len(), stored.len);
    if failed {
        ensure!(
            stored.bytes.starts_with(due) || personality.write.excess > 0,
            "{got} bytes of {len} do not begin with the {} that were written",
            written.len()
        );
    } else {
        ensure!(finished.is_ok() || personality.value_body_error, "{finished:?}");
        ensure!(
            stored.bytes == due && len == written.len() as u64,
            "{got} bytes of {len} are not the {} that were written",
            written.len()
        );
    }
    clean(host)
}

/// Reading whole is all or an error that has a reason, and a limit holds.
pub(crate) fn reads_whole_or_has_a_reason(
    personality: &Personality,
    content: &[u8],
    limit: usize,
    taken: usize,
) -> Checked {
    let mut host = TestHost::<Idle>::with(personality.clone());
    let check = |result: Result<Vec<u8>, Error>, due: &[u8]| {
        match result {
            Ok(bytes) => ensure!(bytes == due, "{bytes:?} is not {due:?}"),
            Err(error) => ensure!(excused(personality, error.kind()), "{error}"),
        }
        Ok(())
    };
    check(host.payload(content.to_vec()).into_bytes().map(Vec::from), content)?;
    match host.payload(content.to_vec()).into_bytes_limited(limit) {
        Err(Error::TooLarge { limit: named, .. }) => {
            ensure!(named == limit, "{named} is not the limit of {limit}");
            ensure!(content.len() > limit, "{} bytes are not more than {limit}", content.len());
        }
        result => {
            ensure!(result.is_err() || content.len() <= limit, "{} bytes are more than {limit}", content.len());
            check(result.map(Vec::from), content)?;
        }
    }
    let mut begun = host.payload(content.to_vec());
    match begun.read(&mut vec![0; taken]) {
        Ok(read) => check(begun.into_bytes().map(Vec::from), &content[read..])?,
        Err(_) => drop(begun),
    }
    clean(host)
}
