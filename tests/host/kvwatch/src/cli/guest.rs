//! What a watcher prints: the same bytes in a pipe, text on a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::PoisonError;

use kvwatch::{Sink, Stream};

use super::style::{CannotWrite, FAINT};
use super::{escape, screen, stdout, style};

/// A line on a terminal is shown in parts of so many bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// Why standard output could not be written, until it is taken.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

/// Why the watcher's standard output could not be written, if that happened since the last call.
pub(crate) fn output_failure() -> io::Result<()> {
    FAILURE.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// The watcher's two streams.
pub(crate) struct GuestOutput {
    stdout: Target,
    stderr: Target,
}

enum Target {
    /// A pipe or a file: the bytes do not change.
    Bytes,
    /// A terminal: whole lines, without control characters. This is the line that has no end yet.
    Lines(Vec<u8>),
}

impl GuestOutput {
    pub(crate) fn new() -> Self {
        let target = |is_terminal| if is_terminal { Target::Lines(Vec::new()) } else { Target::Bytes };
        Self { stdout: target(stdout::is_terminal()), stderr: target(io::stderr().is_terminal()) }
    }
}

impl Sink for GuestOutput {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let target = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        match target {
            Target::Bytes => note(stream, write_bytes(stream, bytes)),
            Target::Lines(pending) => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    pending.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
                    if piece.ends_with(b"\n") || pending.len() >= LONGEST_LINE {
                        note(stream, write_line(stream, pending));
                        pending.clear();
                    }
                }
            }
        }
    }

    fn end(&mut self) {
        for (stream, target) in [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)] {
            if let Target::Lines(pending) = target
                && !pending.is_empty()
            {
                note(stream, write_line(stream, pending));
                pending.clear();
            }
        }
    }
}

fn write_bytes(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Stdout => stdout::write(bytes),
        // The bar or the prompt is on a terminal, and this is not.
        Stream::Stderr => {
            stdout::flush_aside();
            io::stderr().write_all(bytes)
        }
    }
}

fn write_line(stream: Stream, line: &[u8]) -> io::Result<()> {
    let line = escape::bytes(line.strip_suffix(b"\r").unwrap_or(line));
    match stream {
        Stream::Stdout => screen::past_the_bar(|| stdout::write(format!("{line}\n").as_bytes())),
        // The mark tells these lines from kvwatch's own, which never start with it.
        Stream::Stderr => {
            style::say(&format!("{} {line}", style::styled(FAINT, "│")));
            Ok(())
        }
    }
}

fn note(stream: Stream, written: io::Result<()>) {
    // A closed standard error leaves nobody to tell.
    if let (Stream::Stdout, Err(error)) = (stream, written) {
        FAILURE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(CannotWrite::named(error));
    }
}
