use std::{error, fmt, io};

/// Why a line is not an event.
#[derive(Debug)]
#[non_exhaustive]
pub struct EventError {
    /// The position of the problem in the line. The first byte is column 1.
    pub column: usize,
    /// The problem.
    pub problem: EventProblem,
}

/// A problem of a line. The text says what to write instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventProblem {
    /// A byte is not part of UTF-8 text.
    #[error("byte 0x{0:02x} is not valid UTF-8; save the file as UTF-8, and write bytes as \"base64\"")]
    NotUtf8(u8),
    /// The line has more bytes than the limit allows.
    #[error(
        "the line is longer than the limit of {limit} bytes; write a large value to a file and name it: \
         {{\"op\":\"set\",\"key\":\"k\",\"file\":\"value.bin\"}}"
    )]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The line is not valid JSON.
    #[error("this is not valid JSON ({0}); {LIKE}")]
    Json(String),
    /// The line is JSON, but not an object.
    #[error("the line is not a JSON object; {LIKE}")]
    NotAnObject,
    /// There is something after the object.
    #[error("there is more text after the event; write one event in each line")]
    MoreText,
    /// A field that every event needs is not there.
    #[error("the field \"{0}\" is missing; {LIKE}")]
    Missing(&'static str),
    /// A field occurs twice.
    #[error("the field \"{0}\" occurs twice; write it once")]
    Twice(&'static str),
    /// A field is not a string.
    #[error("the field \"{0}\" is not a string; write it as \"{0}\":\"text\"")]
    NotAString(&'static str),
    /// The operation is neither a set nor a delete.
    #[error("\"op\" is {0:?}; write \"set\" or \"delete\"")]
    UnknownOperation(String),
    /// A set has no content.
    #[error("a set needs a value; add \"value\" with text, \"base64\" with bytes, or \"file\" with a path")]
    NoContent,
    /// A set has more than one content.
    #[error("a set has one value; keep only one of \"value\", \"base64\" and \"file\"")]
    TwoContents,
    /// A delete has content.
    #[error("a delete has no value; leave out \"value\", \"base64\" and \"file\"")]
    DeleteWithContent,
    /// The text of "base64" is not base64.
    #[error("\"base64\" is not valid base64 ({0}); write standard base64 with padding, or text as \"value\"")]
    Base64(base64::DecodeError),
    /// The file that "file" names cannot be used.
    #[error("cannot read the value from the file {path}: {reason}")]
    File {
        /// The path.
        path: String,
        /// The reason why the file cannot be read.
        reason: String,
    },
    /// The line names a file, and files are not allowed here.
    #[error("\"file\" works only in a file of events and at the prompt; write the value as \"value\" or \"base64\"")]
    NoFiles,
    /// A line of a store's file is a delete.
    #[error("a store has only keys that are set; remove this line, or give recorded events to the watcher as events")]
    DeleteInStore,
    /// A line of a store's file has a field that a store does not have.
    #[error(
        "the field {0:?} is not part of a store, and would be lost; a line is like \
         {{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\"}}, with \"bucket\" for another bucket than the watched one"
    )]
    UnknownField(String),
}

const LIKE: &str = r#"an event is like {"op":"set","key":"k","value":"v"} or {"op":"delete","key":"k"}"#;

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.problem)
    }
}

impl error::Error for EventError {}

/// A line of a file that is not an event.
#[derive(Debug)]
#[non_exhaustive]
pub struct BadLine {
    /// The number of the line, from 1.
    pub line: usize,
    /// The problem of the line.
    pub problem: Problem,
}

/// The reason why a line contains no event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The line could not be read. No more lines follow.
    Io(io::Error),
    /// The line was read, and it is not an event. More lines may follow.
    Event(EventError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Event(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl error::Error for BadLine {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.problem {
            Problem::Io(error) => error.source(),
            Problem::Event(_) => None,
        }
    }
}
