use std::io::{self, BufRead as _, ErrorKind, Write as _};

use inbound_keyvalue::testing::{Personality, Repeat, TestHost};
use inbound_keyvalue::{Error, InputStream, MAX_ATTEMPTS, Value};

use super::{Checked, Idle, clean, ensure, most_calls, refuses_streams, turns};

/// The calls that an author may make while writing.
#[derive(Clone, Debug)]
pub(crate) enum Writing {
    Write(Vec<u8>),
    WriteAll(Vec<u8>),
    Repeated(u8, u64),
    Flush,
    /// The source, the most bytes to move, and whether a part of the source is already in the guest.
    Splice(Vec<u8>, u64, bool),
    Forward(Vec<u8>, bool),
}

/// The most bytes of a value that a host keeps by default.
const KEPT: usize = 1 << 20;

/// The host has the bytes that the SDK has reported as written, in order, once. `finish` returns the first failure, every time.
pub(crate) fn writes_what_was_written(personality: &Personality, writings: &[Writing]) -> Checked {
    let mut host = TestHost::<Idle>::with(personality.clone());
    let mut value = Value::new();
    let (mut written, mut tried) = (Vec::new(), 0);
    let mut failed = None;
    for writing in writings {
        let before = host.host().calls();
        let outcome = write(&mut host, &mut value, writing, &mut written);
        let made = host.host().calls() - before;
        ensure!(made <= 2 * most_calls(writing.len()), "{made} calls for {writing:?}");
        if let Err(kind) = outcome {
            ensure!(excused(personality, kind), "{kind:?} of {writing:?}");
            // The call does not report how many bytes the host took.
            tried = writing.len();
            failed = Some(kind);
            break;
        }
    }
    for _ in 0..2 {
        let finished = value.finish().map_err(|error| error.kind());
        let due = failed.or(personality.value_body_error.then_some(ErrorKind::Other));
        ensure!(finished == due.map_or(Ok(()), Err), "`finish` gave {finished:?} and not {due:?}");
    }
    drop(value);
    let stored = host.host().values()[0].clone();
    let kept = &written[..written.len().min(KEPT)];
    let due = written.len() as u64..=(written.len() + tried) as u64;
    ensure!(due.contains(&stored.len), "{} bytes and not {due:?}", stored.len);
    ensure!(stored.bytes.starts_with(kept), "other bytes than those that were written");
    clean(host)
}

impl Writing {
    /// The number of bytes of the call.
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

/// Writes. Adds the bytes that the SDK reports as written to `written`.
fn write(
    host: &mut TestHost<Idle>,
    value: &mut Value,
    writing: &Writing,
    written: &mut Vec<u8>,
) -> Result<(), ErrorKind> {
    let (of_io, of_sdk) = (|error: io::Error| error.kind(), |error: Error| error.kind());
    match writing {
        Writing::Write(bytes) => {
            let taken = value.write(bytes).map_err(of_io)?;
            assert!(taken > 0 || bytes.is_empty(), "a write of nothing is an error");
            written.extend_from_slice(&bytes[..taken]);
        }
        Writing::WriteAll(bytes) => {
            value.write_all(bytes).map_err(of_io)?;
            written.extend_from_slice(bytes);
        }
        Writing::Repeated(byte, len) => {
            value.body().and_then(|body| body.write_repeated(*byte, *len)).map_err(of_sdk)?;
            written.resize(written.len() + usize::try_from(*len).unwrap(), *byte);
        }
        Writing::Flush => value.flush().map_err(of_io)?,
        Writing::Splice(content, len, held) => {
            let Some(mut source) = source(host, content, *held) else { return Ok(()) };
            let moved = value.body().and_then(|body| body.splice(&mut source, *len)).map_err(of_sdk)?;
            assert_eq!(moved, (*len).min(content.len() as u64), "`splice` stops early only at the end");
            written.extend_from_slice(&content[..usize::try_from(moved).unwrap()]);
        }
        Writing::Forward(content, held) => {
            let Some(mut source) = source(host, content, *held) else { return Ok(()) };
            let moved = value.body().and_then(|body| body.forward(&mut source)).map_err(of_sdk)?;
            assert_eq!(moved, content.len() as u64, "`forward` stops at the end");
            written.extend_from_slice(content);
        }
    }
    Ok(())
}

/// A stream to copy from. `None` if the host refuses it or fails at once, which is no failure of the value.
fn source(host: &mut TestHost<Idle>, content: &[u8], held: bool) -> Option<InputStream> {
    let personality = host.host().personality().clone();
    match host.payload(content.to_vec()).into_stream() {
        Ok(mut source) => {
            if held {
                if let Err(error) = source.fill_buf() {
                    assert!(excused(&personality, error.kind()), "{error}");
                    return None;
                }
            }
            Some(source)
        }
        Err(error) => {
            assert!(refuses_streams(&personality), "{error}");
            None
        }
    }
}

/// Whether the personality explains this error.
fn excused(personality: &Personality, kind: ErrorKind) -> bool {
    let (reads, writes) = (turns(personality.read.empty), turns(personality.write.empty));
    match kind {
        // A splice waits for both streams.
        ErrorKind::WouldBlock => reads.saturating_mul(writes) > MAX_ATTEMPTS,
        ErrorKind::WriteZero => writes > MAX_ATTEMPTS,
        ErrorKind::InvalidData => personality.read.excess > 0 || personality.write.excess > 0,
        ErrorKind::Other => {
            personality.read.error_at.is_some()
                || personality.write.error_at.is_some()
                || personality.value_body_error
                // A host cannot forward for ever. It has one error for every cause.
                || personality.read.empty == Repeat::Forever
                || personality.write.empty == Repeat::Forever
        }
        _ => false,
    }
}
