mod console;
mod pipe;

use std::fmt;
use std::io::{self, Write as _};

#[cfg(feature = "serve")]
pub(crate) use console::MOST_CAPTURED;
pub(super) use console::{Console, Words};

/// The destination of a watcher's standard output and standard error.
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

/// Receives the bytes that a watcher writes, as soon as it writes them.
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
    /// Discards the output.
    #[must_use]
    pub fn discarded() -> Self {
        Self(Target::Discarded)
    }

    /// Passes the bytes unchanged to the standard output and standard error of this process.
    ///
    /// Use it only if these are not a terminal, or if you trust the watcher: a terminal obeys escape sequences.
    #[must_use]
    pub fn inherited() -> Self {
        Self::to(Inherited)
    }

    /// Passes the bytes unchanged to `sink`.
    #[must_use]
    pub fn to(sink: impl Sink + 'static) -> Self {
        Self(Target::Sink(Box::new(sink)))
    }

    /// Writes each line, with `prefix` before it, to the same stream of this process.
    #[must_use]
    pub fn prefixed(prefix: impl Into<String>) -> Self {
        Self(Target::Prefixed(prefix.into()))
    }

    /// Puts the output into the [`Outcome`](crate::Outcome) of each event: the first MiB of each stream.
    #[must_use]
    pub fn captured() -> Self {
        Self(Target::Captured)
    }

    /// Passes each line to `line`, without its end.
    #[must_use]
    pub fn lines(line: impl FnMut(Stream, &str) + Send + 'static) -> Self {
        Self(Target::Lines(Box::new(line)))
    }
}

/// The streams of this process.
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
