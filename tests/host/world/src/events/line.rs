//! Turns one line of JSON into one event. The buffer of the line becomes the buffer of the value, so that memory holds the value
//! once.

use std::fs;
use std::mem;
use std::ops::Range;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::IgnoredAny;

use super::error::{EventError, EventProblem};
use super::{Change, Event, quick};
use crate::content::Content;

/// An event, and the other information in its line.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The event.
    pub(crate) event: Event,
    /// The first field that is not part of an event. It was ignored.
    pub(crate) unknown: Option<String>,
}

/// One key of a store, as a line of a store's file.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The bucket, if the line names one.
    pub(crate) bucket: Option<String>,
    pub(crate) key: String,
    pub(crate) content: Content,
}

const OP: usize = 0;
const KEY: usize = 1;
const VALUE: usize = 2;
const FILE: usize = 4;
const BUCKET: usize = 5;
const FIELDS: [&str; 6] = ["op", "key", "value", "base64", "file", "bucket"];
/// The fields that `kvwatch serve` adds to an event that it could not handle. They are ignored without a warning, because such
/// lines are replayed unchanged.
const OF_DEAD_LETTERS: [&str; 5] = ["cause", "attempts", "deliveries", "sequence", "time"];

/// Parses an event. A path in `file` is relative to `folder`; without a folder, `file` is refused. The line is taken only if its
/// buffer can become the buffer of the value.
pub(crate) fn parse(line: &mut Vec<u8>, folder: Option<&Path>) -> Result<Parsed, EventError> {
    match quick::parse(line) {
        Some(event) => Ok(Parsed { event, unknown: None }),
        None => parse_any(mem::take(line), folder),
    }
}

/// Parses a line of any form. The error says what is wrong with the line.
pub(super) fn parse_any(line: Vec<u8>, folder: Option<&Path>) -> Result<Parsed, EventError> {
    let object = Scanner { line: text(&line)?, at: 0, known: &FIELDS[..BUCKET], ignored: &OF_DEAD_LETTERS }.object()?;
    let unknown = object.unknown.as_ref().map(|(_, name)| name.clone());
    Ok(Parsed { event: event(line, object, folder)?, unknown })
}

/// Parses a line of a store's file: a set, with the field `bucket` or without it. Other fields would be lost when the file is saved,
/// so they are refused.
pub(crate) fn parse_entry(line: &mut Vec<u8>, folder: Option<&Path>) -> Result<Entry, EventError> {
    let line = mem::take(line);
    let object = Scanner { line: text(&line)?, at: 0, known: &FIELDS, ignored: &[] }.object()?;
    if let Some((at, name)) = &object.unknown {
        return Err(bad(*at, EventProblem::UnknownField(name.clone())));
    }
    let bucket = object.fields[BUCKET].clone().map(|span| string(&line, span)).transpose()?;
    let op = object.fields[OP].as_ref().map_or(0, |span| span.start);
    match event(line, object, folder)? {
        Event { key, change: Change::Set(content) } => Ok(Entry { bucket, key, content }),
        Event { change: Change::Delete, .. } => Err(bad(op, EventProblem::DeleteInStore)),
    }
}

/// The line, if it is UTF-8.
fn text(line: &[u8]) -> Result<&[u8], EventError> {
    match std::str::from_utf8(line) {
        Ok(_) => Ok(line),
        Err(error) => Err(bad(error.valid_up_to(), EventProblem::NotUtf8(line[error.valid_up_to()]))),
    }
}

fn event(mut line: Vec<u8>, object: Object, folder: Option<&Path>) -> Result<Event, EventError> {
    let Object { fields, end, .. } = object;
    let needed = |field: usize| fields[field].clone().ok_or(bad(end, EventProblem::Missing(FIELDS[field])));
    let (op, key) = (needed(OP)?, string(&line, needed(KEY)?)?);
    let is_set = match &*string(&line, op.clone())? {
        "set" => true,
        "delete" => false,
        other => return Err(bad(op.start, EventProblem::UnknownOperation(shortened(other)))),
    };
    let mut contents = (VALUE..=FILE).filter_map(|field| Some((field, fields[field].clone()?)));
    let change = match (is_set, contents.next(), contents.next()) {
        (false, None, _) => Change::Delete,
        (false, Some((_, span)), _) => return Err(bad(span.start, EventProblem::DeleteWithContent)),
        (true, None, _) => return Err(bad(end, EventProblem::NoContent)),
        (true, Some((_, one)), Some((_, other))) => {
            return Err(bad(one.start.max(other.start), EventProblem::TwoContents));
        }
        (true, Some((FILE, span)), None) => Change::Set(from_file(&line, span, folder)?),
        (true, Some((field, span)), None) => {
            let text = span.start + 1..span.end - 1;
            let len = if field == VALUE { unescape(&mut line, text) } else { decode_base64(&mut line, text) }?;
            line.truncate(len);
            // A store can keep many values, so no value keeps the unused memory of its line.
            line.shrink_to_fit();
            Change::Set(Content::from(line))
        }
    };
    Ok(Event { key, change })
}

/// `at` counts bytes from 0, and a column counts from 1.
fn bad(at: usize, problem: EventProblem) -> EventError {
    EventError { column: at + 1, problem }
}

/// The start of a text, for a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST).chain(['…']).collect() }
}

/// The positions of the fields of an object.
struct Object {
    /// The value of each of [`FIELDS`], with its quotes.
    fields: [Option<Range<usize>>; FIELDS.len()],
    /// The first unknown field, and its position.
    unknown: Option<(usize, String)>,
    /// The position of the object's last brace.
    end: usize,
}

/// Finds the fields of an object. `serde_json` reads each name and value; nothing is copied.
struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
    /// The names from [`FIELDS`] that a line may have.
    known: &'static [&'static str],
    /// The names of fields that are not reported.
    ignored: &'static [&'static str],
}

impl Scanner<'_> {
    fn object(mut self) -> Result<Object, EventError> {
        let mut object = Object { fields: Default::default(), unknown: None, end: 0 };
        if self.peek() != Some(b'{') {
            // Text that is not JSON gets the message of the parser.
            self.value()?;
            return Err(bad(0, EventProblem::NotAnObject));
        }
        self.at += 1;
        let mut first = true;
        while self.peek() != Some(b'}') {
            if !first {
                self.expect(b',')?;
            }
            first = false;
            self.field(&mut object)?;
        }
        object.end = self.at;
        self.at += 1;
        match self.peek() {
            None => Ok(object),
            Some(_) => Err(bad(self.at, EventProblem::MoreText)),
        }
    }

    fn field(&mut self, object: &mut Object) -> Result<(), EventError> {
        if self.peek() != Some(b'"') {
            return Err(self.json("expected a field name in double quotes"));
        }
        let name = self.value()?;
        let start = name.start;
        let name = string(self.line, name)?;
        self.expect(b':')?;
        let value = self.value()?;
        let Some(index) = self.known.iter().position(|field| *field == name) else {
            if !self.ignored.contains(&&*name) {
                object.unknown.get_or_insert_with(|| (start, shortened(&name)));
            }
            return Ok(());
        };
        if self.line[value.start] != b'"' {
            return Err(bad(value.start, EventProblem::NotAString(FIELDS[index])));
        }
        match &mut object.fields[index] {
            Some(_) => Err(bad(start, EventProblem::Twice(FIELDS[index]))),
            field => {
                *field = Some(value);
                Ok(())
            }
        }
    }

    /// Skips the next value of any type, and returns its position.
    fn value(&mut self) -> Result<Range<usize>, EventError> {
        self.peek();
        let start = self.at;
        let mut values = serde_json::Deserializer::from_slice(&self.line[start..]).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at = start + values.byte_offset();
                Ok(start..self.at)
            }
            Some(Err(error)) => Err(json_error(start, &error)),
            None => Err(self.json("expected a value")),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.line.get(self.at) {
            self.at += 1;
        }
        self.line.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), EventError> {
        if self.peek() != Some(byte) {
            return Err(self.json(&format!("expected `{}`", char::from(byte))));
        }
        self.at += 1;
        Ok(())
    }

    fn json(&self, message: &str) -> EventError {
        bad(self.at, EventProblem::Json(message.to_owned()))
    }
}

/// The message of the parser. Its position in the parsed part is removed.
fn json_error(start: usize, error: &serde_json::Error) -> EventError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text).to_owned();
    bad(start + error.column().saturating_sub(1), EventProblem::Json(message))
}

/// The text of a short JSON string.
fn string(line: &[u8], span: Range<usize>) -> Result<String, EventError> {
    let start = span.start;
    serde_json::from_slice(&line[span]).map_err(|error| json_error(start, &error))
}

/// Moves the text of a JSON string to the start of `line` without its escapes, and returns its length.
fn unescape(line: &mut [u8], text: Range<usize>) -> Result<usize, EventError> {
    let (mut from, mut to) = (text.start, 0);
    while from < text.end {
        let plain = line[from..text.end].iter().position(|byte| *byte == b'\\').unwrap_or(text.end - from);
        line.copy_within(from..from + plain, to);
        from += plain;
        to += plain;
        if from == text.end {
            break;
        }
        // An escape is `\n`, `\u00e9`, or a pair of surrogates; it is never shorter than the character it stands for.
        let unicode = |at: usize| line[at..text.end].starts_with(b"\\u");
        let surrogate = unicode(from)
            && matches!(line.get(from + 2..from + 4), Some([b'd' | b'D', b'8' | b'9' | b'a'..=b'b' | b'A'..=b'B']));
        let len = match (unicode(from), surrogate && unicode(from + 6)) {
            (false, _) => 2,
            (true, false) => 6,
            (true, true) => 12,
        };
        let escape = from..text.end.min(from + len);
        let mut quoted = [b'"'; 14];
        quoted[1..=escape.len()].copy_from_slice(&line[escape.clone()]);
        let character: char = serde_json::from_slice(&quoted[..escape.len() + 2]).map_err(|error| {
            let EventError { problem, .. } = json_error(from, &error);
            bad(from, problem)
        })?;
        to += character.encode_utf8(&mut line[to..]).len();
        from = escape.end;
    }
    Ok(to)
}

/// The number of characters of base64 text that are decoded at a time.
const PIECE: usize = 4096;

/// Moves the bytes that base64 text stands for to the start of `line`, and returns their number.
fn decode_base64(line: &mut [u8], text: Range<usize>) -> Result<usize, EventError> {
    // JSON may escape `/` and any other character.
    let start = text.start;
    let text = if line[text.clone()].contains(&b'\\') { 0..unescape(line, text)? } else { text };
    let wrong = |at: usize, error| bad(start + at, EventProblem::Base64(error));
    let mut bytes = [0; PIECE / 4 * 3];
    let mut to = 0;
    for from in text.clone().step_by(PIECE) {
        let end = text.end.min(from + PIECE);
        let done = from - text.start;
        let len = BASE64.decode_slice(&line[from..end], &mut bytes).map_err(|error| match error {
            base64::DecodeSliceError::DecodeError(error) => match error {
                base64::DecodeError::InvalidByte(at, byte) => {
                    wrong(done + at, base64::DecodeError::InvalidByte(done + at, byte))
                }
                base64::DecodeError::InvalidLastSymbol(at, byte) => {
                    wrong(done + at, base64::DecodeError::InvalidLastSymbol(done + at, byte))
                }
                error => wrong(done, error),
            },
            base64::DecodeSliceError::OutputSliceTooSmall => wrong(done, base64::DecodeError::InvalidPadding),
        })?;
        // Padding in the middle ends a piece early.
        if len < bytes.len() && end < text.end {
            return Err(wrong(done, base64::DecodeError::InvalidPadding));
        }
        line[to..to + len].copy_from_slice(&bytes[..len]);
        to += len;
    }
    Ok(to)
}

fn from_file(line: &[u8], span: Range<usize>, folder: Option<&Path>) -> Result<Content, EventError> {
    let start = span.start;
    let name = string(line, span)?;
    let folder = folder.ok_or_else(|| bad(start, EventProblem::NoFiles))?;
    let path = folder.join(&name);
    let wrong = |reason| bad(start, EventProblem::File { path: path.display().to_string(), reason });
    // Opening a named pipe may wait for ever.
    let metadata = fs::metadata(&path).map_err(|error| wrong(error.to_string()))?;
    if !metadata.is_file() {
        return Err(wrong(String::from(if metadata.is_dir() { "it is a folder" } else { "it is not a regular file" })));
    }
    Content::file(&path).map_err(|error| wrong(error.to_string()))
}
