//! Recorded events and their file format.

mod error;
mod line;
mod quick;
mod reader;

use std::path::Path;
use std::str::FromStr;

pub use error::{BadLine, EventError, EventProblem, Problem};
use line::parse;
pub use reader::{Events, UnknownField, open as open_events};

use crate::content::Content;

/// A recorded event: one line of JSON.
///
/// ```text
/// {"op":"set","key":"users/ada","value":"hello"}
/// {"op":"set","key":"avatars/ada","base64":"iVBORw0KGgo="}
/// {"op":"set","key":"avatars/bob","file":"bob.png"}
/// {"op":"delete","key":"users/ada"}
/// ```
///
/// The line is an object. `op` and `key` are strings. A set has exactly one of `value` (text), `base64` (bytes) and `file` (the
/// path of a file that contains the value). A delete has none of them. The order of the fields is free. No field may occur twice.
/// Other fields are ignored, because tools add their own.
///
/// [`Events`] reads events from a file. `TestHost::replay` of the SDK and `kvwatch run` deliver them to a watcher. `str::parse`
/// refuses `file`, because text alone has no folder: use [`Event::parse_in`] for it.
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
    /// The change of the key.
    pub change: Change,
}

/// A change of a key.
#[derive(Clone, Debug)]
pub enum Change {
    /// The key was set to this content.
    Set(Content),
    /// The key was deleted.
    Delete,
}

impl Event {
    /// An event that sets `key` to `content`.
    #[must_use]
    pub fn set(key: impl Into<String>, content: impl Into<Content>) -> Self {
        Self { key: key.into(), change: Change::Set(content.into()) }
    }

    /// An event that deletes `key`.
    #[must_use]
    pub fn delete(key: impl Into<String>) -> Self {
        Self { key: key.into(), change: Change::Delete }
    }

    /// Parses a line. A path in `file` is relative to `folder`.
    ///
    /// # Errors
    ///
    /// When the line is not an event, or its file cannot be opened.
    pub fn parse_in(line: impl Into<Vec<u8>>, folder: &Path) -> Result<Self, EventError> {
        parse(&mut line.into(), Some(folder)).map(|parsed| parsed.event)
    }
}

impl FromStr for Event {
    type Err = EventError;

    fn from_str(line: &str) -> Result<Self, EventError> {
        parse(&mut line.into(), None).map(|parsed| parsed.event)
    }
}
