mod console;
mod pipe;

use std::fmt;
use std::io::{self, Write as _};

pub(super) use console::{Console, Words};

/// What becomes of what a watcher writes to its standard output and standard error.
#[derive(Default)]
pub struct Output(Target);

#[derive(Default)]
enum Target {
    #[default]
    Discarded,
    Prefixed(String),
    Captured,
    Lines(Box<Lines>),
    Sink(Box<dyn Sink>),
}

type Lines = dyn FnMut(Stream, &str) + Send;

/// Receives what a watcher writes, byte for byte and as soon as it is written.
pub trait Sink: Send {
    /// The watcher wrote `bytes`. They may end in the middle of a line or of a character.
    fn write(&mut self, stream: Stream, bytes: &[u8]);

    /// An event ended. The watcher may have left a line without an end.
    fn end(&mut self) {}
}

/// One of the two streams that a watcher writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Output {
    /// It goes nowhere.
    #[must_use]
    pub fn discarded() -> Self {
        Self(Target::Discarded)
    }

    /// The bytes go unchanged to the standard output and standard error of this process.
    ///
    /// Use it only where these are not a terminal, or where the watcher is trusted: a terminal obeys escape sequences.
    #[must_use]
    pub fn inherited() -> Self {
        Self::to(Inherited)
    }

    /// The bytes go unchanged to `sink`.
    #[must_use]
    pub fn to(sink: impl Sink + 'static) -> Self {
        Self(Target::Sink(Box::new(sink)))
    }

    /// It goes, line by line, to this process's own streams, each line behind `prefix`.
    #[must_use]
    pub fn prefixed(prefix: impl Into<String>) -> Self {
        Self(Target::Prefixed(prefix.into()))
    }

    /// It goes to each event's [`Outcome`](crate::Outcome): the first MiB of either stream.
    #[must_use]
    pub fn captured() -> Self {
        Self(Target::Captured)
    }

    /// It goes to `line`, line by line and without their ends.
    #[must_use]
    pub fn lines(line: impl FnMut(Stream, &str) + Send + 'static) -> Self {
        Self(Target::Lines(Box::new(line)))
    }
}

/// This process's own streams.
struct Inherited;

impl Sink for Inherited {
    fn write(&mut self, stream: Stream, bytes: &[u8]) {
        // A closed or full stream is not the watcher's failure.
        let _ = match stream {
            Stream::Stdout => io::stdout().write_all(bytes),
            Stream::Stderr => io::stderr().write_all(bytes),
        };
    }

    fn end(&mut self) {
        let _ = io::stdout().flush();
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Target::Discarded => "Discarded",
            Target::Prefixed(_) => "Prefixed",
            Target::Captured => "Captured",
            Target::Lines(_) => "Lines",
            Target::Sink(_) => "Sink",
        })
    }
}
