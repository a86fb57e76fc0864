//! Shows the output of a watcher. A pipe gets the same bytes, and a terminal gets text.

use std::io::{self, IsTerminal as _, Write as _};

use kvwatch::{Sink, Stream};

use super::style::FAINT;
use super::{escape, screen, stdout, style};

/// A terminal shows a long line in parts. This is the number of bytes of a part.
const LONGEST_LINE: usize = 64 * 1024;

/// The watcher's two streams.
pub(crate) struct GuestOutput {
    stdout: Target,
    stderr: Target,
}

enum Target {
    /// A pipe or a file: the bytes do not change.
    Bytes,
    /// A terminal: whole lines, without control characters. The bytes are a line that has not ended yet.
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
            Target::Bytes => write_bytes(stream, bytes),
            Target::Lines(pending) => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    pending.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
                    if piece.ends_with(b"\n") || pending.len() >= LONGEST_LINE {
                        write_line(stream, pending);
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
                write_line(stream, pending);
                pending.clear();
            }
        }
    }
}

fn write_bytes(stream: Stream, bytes: &[u8]) {
    match stream {
        Stream::Stdout => stdout::write_aside(bytes),
        // The bar or the prompt is on a terminal, and this stream is not.
        Stream::Stderr => {
            stdout::flush_aside();
            // If standard error is closed, nobody can read a message about it.
            let _ = io::stderr().write_all(bytes);
        }
    }
}

fn write_line(stream: Stream, line: &[u8]) {
    let line = escape::bytes(line.strip_suffix(b"\r").unwrap_or(line));
    match stream {
        Stream::Stdout => screen::past_the_bar(|| stdout::write_aside(format!("{line}\n").as_bytes())),
        // The mark separates these lines from those of kvwatch, which never start with it.
        Stream::Stderr => style::say(&format!("{} {line}", style::styled(FAINT, "│"))),
    }
}
