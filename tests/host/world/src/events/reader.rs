use std::fs::File;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::Event;
use super::error::{BadLine, EventError, EventProblem, Problem};
use super::line::{Entry, parse, parse_entry};

/// The events of a file, one in each line. Empty lines and a byte order mark are ignored.
///
/// A line that is not an event is an `Err`, and later lines follow. An error of the reader is an `Err` too, and is the last item.
/// Memory holds one line at a time, and never more than the [limit](Self::max_line).
///
/// ```
/// use inbound_keyvalue_host::Events;
///
/// let recorded = "{\"op\":\"delete\",\"key\":\"a\"}\nnonsense\n";
/// let mut events = Events::new(recorded.as_bytes());
/// assert_eq!(events.next().unwrap()?.key, "a");
/// assert_eq!(events.next().unwrap().unwrap_err().line, 2);
/// # Ok::<(), inbound_keyvalue_host::BadLine>(())
/// ```
#[derive(Debug)]
pub struct Events<R> {
    reader: R,
    /// The current line. Short lines use the same memory one after the other.
    bytes: Vec<u8>,
    line: usize,
    max_line: usize,
    folder: Option<PathBuf>,
    unknown: Option<UnknownField>,
    warned: bool,
    ended: bool,
}

/// The most bytes of memory that stay for the next line.
const KEPT: usize = 64 * 1024;

/// A field that is not part of an event. It was ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownField {
    /// The number of the line, from 1.
    pub line: usize,
    /// The name of the field.
    pub name: String,
}

/// Opens a file of events.
///
/// # Errors
///
/// When the file cannot be opened, or is a folder. The message names the path.
///
/// ```
/// let error = inbound_keyvalue_host::open_events("no/such/file.jsonl").unwrap_err();
/// assert!(error.to_string().starts_with("cannot read events from no/such/file.jsonl: "));
/// ```
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    let path = path.as_ref();
    let named = |error: io::Error| {
        // The path is escaped, because it must not control the terminal that shows it.
        let shown = path.to_string_lossy();
        io::Error::new(error.kind(), format!("cannot read events from {}: {error}", shown.escape_debug()))
    };
    let file = File::open(path).map_err(named)?;
    if file.metadata().map_err(named)?.is_dir() {
        return Err(named(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file in it")));
    }
    Ok(file)
}

impl<R: BufRead> Events<R> {
    /// The longest line in bytes, unless [`max_line`](Self::max_line) sets another limit: 1 GiB.
    pub const MAX_LINE: usize = 1 << 30;

    /// Events from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            bytes: Vec::new(),
            line: 0,
            max_line: Self::MAX_LINE,
            folder: None,
            unknown: None,
            warned: false,
            ended: false,
        }
    }

    /// Sets the limit for a line in bytes. A longer line is a bad line; its rest is not kept.
    #[must_use]
    pub fn max_line(mut self, bytes: usize) -> Self {
        self.max_line = bytes;
        self
    }

    /// Allows the field `file`, with paths relative to `folder`. Allow it only for events that a user wrote.
    #[must_use]
    pub fn files_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The first unknown field of all lines so far. Only the first call after it was found returns it.
    pub fn take_unknown_field(&mut self) -> Option<UnknownField> {
        self.unknown.take()
    }

    /// Reads a line without its end to `self.bytes`. `None` is the end of the file.
    fn read_line(&mut self) -> io::Result<Option<Result<(), EventError>>> {
        let line = &mut self.bytes;
        line.clear();
        line.shrink_to(KEPT);
        let (mut any, mut too_long) = (false, false);
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = memchr::memchr(b'\n', available);
            let piece = &available[..end.unwrap_or(available.len())];
            let at_end = available.is_empty();
            any |= !at_end;
            too_long |= line.len() + piece.len() > self.max_line;
            if too_long {
                *line = Vec::new();
            } else {
                line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if at_end || end.is_some() {
                let limit = self.max_line;
                let bad = EventError { column: limit.saturating_add(1), problem: EventProblem::TooLong { limit } };
                return Ok(any.then_some(if too_long { Err(bad) } else { Ok(()) }));
            }
        }
    }
}

impl<R: BufRead> Events<R> {
    /// The next line that is not empty, parsed.
    fn next_line<T>(
        &mut self,
        parse: impl FnOnce(&mut Vec<u8>, Option<&Path>) -> Result<T, EventError>,
    ) -> Option<Result<T, BadLine>> {
        while !self.ended {
            self.line += 1;
            let bad = |line, error| Some(Err(BadLine { line, problem: Problem::Event(error) }));
            match self.read_line() {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => return bad(self.line, error),
                Ok(None) => break,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(BadLine { line: self.line, problem: Problem::Io(error) }));
                }
            }
            let bytes = &mut self.bytes;
            if self.line == 1 && bytes.starts_with("\u{feff}".as_bytes()) {
                bytes.drain(..3);
            }
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            return match parse(bytes, self.folder.as_deref()) {
                Ok(parsed) => Some(Ok(parsed)),
                Err(error) => bad(self.line, error),
            };
        }
        self.ended = true;
        None
    }

    /// The next line of a store's file.
    pub(crate) fn next_entry(&mut self) -> Option<Result<Entry, BadLine>> {
        self.next_line(parse_entry)
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = Result<Event, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        let parsed = self.next_line(parse)?;
        Some(parsed.map(|parsed| {
            if let Some(name) = parsed.unknown.filter(|_| !self.warned) {
                self.warned = true;
                self.unknown = Some(UnknownField { line: self.line, name });
            }
            parsed.event
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Change;

    #[test]
    fn a_long_line_leaves_no_memory() {
        let blank = format!("{}\n", " ".repeat(4 * KEPT));
        let short = "{\"op\":\"delete\",\"key\":\"a\"}\n";
        let long = format!("{{\"op\":\"set\",\"key\":\"a\",\"value\":\"{blank}\"}}").replace('\n', "");
        let lines = [&blank, short, &long, "\n", short, short].concat();
        let mut events = Events::new(lines.as_bytes());
        let mut lens = Vec::new();
        while let Some(event) = events.next() {
            lens.push(match event.unwrap().change {
                Change::Set(content) => content.len(),
                Change::Delete => 0,
            });
            assert!(events.bytes.capacity() <= KEPT, "{} bytes", events.bytes.capacity());
        }
        assert_eq!(lens, [0, 4 * KEPT as u64, 0, 0]);
    }
}
