use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Cause;
use super::event::{Change, Escaped, Event};
use super::source::BoxFuture;

/// The destination of events that could not be handled.
///
/// The event is acknowledged only after [`bury`](Self::bury) succeeded. The loop calls it again after a failure.
pub trait DeadLetters: Send + Sync + 'static {
    /// Keeps one event permanently.
    ///
    /// # Errors
    ///
    /// When the event may not be stored. It may be stored nevertheless, so a letter can occur twice.
    fn bury(&self, letter: Arc<Letter>) -> BoxFuture<'_, Result<(), Cause>>;
}

/// An event that could not be handled, and the cause.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The event.
    pub event: Arc<Event>,
    /// Why it could not be handled. The text may come from a guest.
    pub cause: String,
    /// The number of attempts of this process.
    pub attempts: u32,
    /// The number of deliveries by the store.
    pub deliveries: u64,
    /// The time at which it became a dead letter.
    pub time: SystemTime,
}

#[derive(Serialize)]
struct Line<'a> {
    op: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    cause: &'a str,
    attempts: u32,
    deliveries: u64,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

impl Letter {
    /// The letter as one line of JSON, with its line feed: an event as `kvwatch run` reads it, and the fields `cause`,
    /// `attempts`, `deliveries`, `sequence` and `time` (RFC 3339, UTC). A value that is not UTF-8 is in `base64`.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let (op, value, base64) = match &self.event.change {
            Change::Delete => ("delete", None, None),
            Change::Set(value) => match std::str::from_utf8(value) {
                Ok(text) => ("set", Some(text), None),
                Err(_) => ("set", None, Some(BASE64.encode(value))),
            },
        };
        let line = Line {
            op,
            key: &self.event.key,
            value,
            base64,
            cause: &self.cause,
            attempts: self.attempts,
            deliveries: self.deliveries,
            sequence: self.event.position.sequence,
            time: OffsetDateTime::from(self.time).format(&Rfc3339).ok(),
        };
        // Serialization cannot fail: the struct has only strings and numbers. An empty line would be the result.
        let mut json = serde_json::to_vec(&line).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// Writes no dead letters. It logs an event without attempts left in full, as the line that a file would get.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadLetterLog;

impl DeadLetters for DeadLetterLog {
    fn bury(&self, letter: Arc<Letter>) -> BoxFuture<'_, Result<(), Cause>> {
        let line = letter.to_line();
        let letter = String::from_utf8_lossy(&line);
        tracing::error!(
            letter = letter.trim_end(),
            "an event is given up, and there is no dead-letter file: here it is in full"
        );
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A file of dead letters, with one letter in each line. `kvwatch run` reads it.
///
/// Each line is on the disk before its event is acknowledged. Several processes may use one file: it is locked during
/// a write. A line can be written in part, if the disk is full or the process is killed. It is removed before the next line is
/// written. Its event was never acknowledged, so it comes again.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: Arc<Path>,
}

impl DeadLetterFile {
    /// Opens or creates the file, and checks that it can be written.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened for reading and appending.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        open(&path)?;
        Ok(Self { path: path.into() })
    }
}

impl DeadLetters for DeadLetterFile {
    fn bury(&self, letter: Arc<Letter>) -> BoxFuture<'_, Result<(), Cause>> {
        let path = Arc::clone(&self.path);
        Box::pin(async move {
            let key = Escaped(&letter.event.key).to_string();
            let place = path.display().to_string();
            let written = tokio::task::spawn_blocking(move || append(&path, &letter.to_line())).await?;
            written.map_err(|error| format!("cannot write the dead letter of {key} to {place}: {error}").into())
        })
    }
}

/// The file is opened for each letter. So a file that was moved away, for example by a log rotation, is created again.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = open(path)?;
    file.lock()?;
    let end = file.seek(SeekFrom::End(0))?;
    let whole = whole_lines(&mut file, end)?;
    let mut rest = Vec::new();
    file.seek(SeekFrom::Start(whole))?;
    Read::by_ref(&mut file).take(end - whole).read_to_end(&mut rest)?;
    let start = if is_torn(&rest) {
        file.set_len(whole)?;
        whole
    } else {
        end
    };
    let mut text = Vec::with_capacity(line.len() + 1);
    if start > whole {
        text.push(b'\n');
    }
    text.extend_from_slice(line);
    let written = file.write_all(&text).and_then(|()| file.sync_all());
    if written.is_err() {
        // If this fails too, the next write removes the part.
        let _ = file.set_len(start);
    }
    written
}

/// Whether this is the start of a letter and not a whole letter. Other text without a line feed at its end is not from kvwatch,
/// and stays.
fn is_torn(rest: &[u8]) -> bool {
    const BEGINNING: &[u8] = br#"{"op":"#;
    let compared = rest.len().min(BEGINNING.len());
    rest[..compared] == BEGINNING[..compared] && serde_json::from_slice::<serde::de::IgnoredAny>(rest).is_err()
}

/// The length of the file up to its last line feed.
fn whole_lines(file: &mut File, mut end: u64) -> io::Result<u64> {
    const STEP: u64 = 4096;
    let mut buffer = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        file.seek(SeekFrom::Start(start))?;
        buffer.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut buffer)?;
        if let Some(index) = buffer.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + index as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
#[path = "dead_letters_tests.rs"]
mod tests;
