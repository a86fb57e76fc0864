use std::error::Error as StdError;
use std::fmt;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use inbound_keyvalue_host::{BadLine, Event, Events, open_events};

/// Why a file of recorded events could not be replayed. [`TestHost::replay`](super::TestHost::replay) returns it.
///
/// Its `Display` names the path and the cause.
///
/// ```
/// use inbound_keyvalue::testing::{ReplayCause, TestHost};
/// # use inbound_keyvalue::{HandleWatch, handle_watch};
/// # #[handle_watch]
/// # #[derive(Default)]
/// # struct Quiet;
/// # impl HandleWatch for Quiet {}
///
/// let error = TestHost::<Quiet>::new().replay("nowhere.jsonl").unwrap_err();
/// assert!(matches!(error.cause, ReplayCause::Open(_)));
/// assert!(error.to_string().starts_with("cannot read events from nowhere.jsonl: "));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct ReplayError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    pub cause: ReplayCause,
}

/// The cause of a [`ReplayError`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ReplayCause {
    /// The file cannot be opened.
    Open(io::Error),
    /// A line cannot be read, or is not an event.
    Line(BadLine),
}

/// All events of a file.
pub(super) fn recorded(path: &Path) -> Result<Vec<Event>, ReplayError> {
    let failed = |cause| ReplayError { path: path.to_owned(), cause };
    let file = open_events(path).map_err(|error| failed(ReplayCause::Open(error)))?;
    let events = Events::new(BufReader::new(file)).files_in(path.parent().unwrap_or(Path::new("")));
    events.collect::<Result<_, _>>().map_err(|line| failed(ReplayCause::Line(line)))
}

// The cause is part of the message, and so it is not the source: a printed chain would repeat it.
impl StdError for ReplayError {}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path is quoted, because it must not control the terminal that shows it.
        let path = self.path.to_string_lossy();
        match &self.cause {
            // This message names the path already.
            ReplayCause::Open(error) => error.fmt(f),
            ReplayCause::Line(line) => write!(f, "{path:?}: {line}"),
        }
    }
}
