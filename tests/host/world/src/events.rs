use std::fmt;
use std::io::{self, BufRead};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::Deserialize;

use crate::content::Content;

/// A recorded event: one line of JSON.
///
/// ```text
/// {"op":"set","key":"users/ada","value":"hello"}
/// {"op":"set","key":"avatars/ada","base64":"iVBORw0KGgo="}
/// {"op":"delete","key":"users/ada"}
/// ```
///
/// [`Events`] reads them from a file, the SDK's `TestHost::replay` gives a file of them to a watcher, and
/// `kvwatch run` gives them to a component.
///
/// ```
/// use inbound_keyvalue_host::{Change, Event};
///
/// let event: Event = r#"{"op":"set","key":"users/ada","value":"hello"}"#.parse()?;
/// assert_eq!(event.key, "users/ada");
/// assert!(matches!(event.change, Change::Set(content) if content.len() == 5));
/// # Ok::<(), inbound_keyvalue_host::EventError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// The key.
    pub key: String,
    /// What happened to it.
    pub change: Change,
}

/// What happened to a key.
#[derive(Clone, Debug)]
pub enum Change {
    /// It was set to this.
    Set(Content),
    /// It was deleted.
    Delete,
}

/// What is wrong with a recorded event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The line is not an event in JSON.
    #[error("{0}; an event is like {EXAMPLES}")]
    Json(#[from] serde_json::Error),
    /// A set has neither a value nor base64, or both.
    #[error("a set has either \"value\" with text or \"base64\" with bytes, and this has {0}")]
    Content(&'static str),
    /// A delete has content.
    #[error("a delete has no content: leave \"value\" and \"base64\" out")]
    DeleteWithContent,
    /// What is given as base64 is not.
    #[error("\"base64\" is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
}

const EXAMPLES: &str = r#"{"op":"set","key":"k","value":"v"} or {"op":"delete","key":"k"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    op: Op,
    key: String,
    value: Option<String>,
    base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Set,
    Delete,
}

impl Event {
    /// A set.
    #[must_use]
    pub fn set(key: impl Into<String>, content: impl Into<Content>) -> Self {
        Self { key: key.into(), change: Change::Set(content.into()) }
    }

    /// A delete.
    #[must_use]
    pub fn delete(key: impl Into<String>) -> Self {
        Self { key: key.into(), change: Change::Delete }
    }
}

impl std::str::FromStr for Event {
    type Err = EventError;

    fn from_str(line: &str) -> Result<Self, EventError> {
        let Line { op, key, value, base64 } = serde_json::from_str(line)?;
        let change = match (op, value, base64) {
            (Op::Set, Some(value), None) => Change::Set(Content::from(value)),
            (Op::Set, None, Some(base64)) => Change::Set(Content::from(Bytes::from(BASE64.decode(base64)?))),
            (Op::Set, None, None) => return Err(EventError::Content("neither")),
            (Op::Set, Some(_), Some(_)) => return Err(EventError::Content("both")),
            (Op::Delete, None, None) => Change::Delete,
            (Op::Delete, _, _) => return Err(EventError::DeleteWithContent),
        };
        Ok(Self { key, change })
    }
}

/// The events in a file, a line each; empty lines are passed over.
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
    lines: R,
    line: usize,
}

/// A line that is not an event.
#[derive(Debug)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// Why there is no event in a line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// It could not be read.
    Io(io::Error),
    /// It was read and makes no event.
    Event(EventError),
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.problem {
            Problem::Io(error) => error.fmt(f),
            Problem::Event(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BadLine {}

impl<R: BufRead> Events<R> {
    /// Events from `lines`.
    pub fn new(lines: R) -> Self {
        Self { lines, line: 0 }
    }
}

impl<R: BufRead> Iterator for Events<R> {
    type Item = Result<Event, BadLine>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = self.lines.read_until(b'\n', &mut bytes);
            self.line += 1;
            let bad = |problem| BadLine { line: self.line, problem };
            match read {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return Some(Err(bad(Problem::Io(error)))),
            }
            // Not UTF-8 is not JSON either, and says so at its place.
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim();
            if !line.is_empty() {
                return Some(line.parse().map_err(|error| bad(Problem::Event(error))));
            }
        }
    }
}
