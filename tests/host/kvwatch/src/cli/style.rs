//! Writes messages to standard error. `anstream` removes the colours if the output is not a terminal or the user does not want
//! them.

use std::io::{self, Write as _};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{escape, screen, stdout};

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Green.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();

pub(crate) fn error(message: &str) {
    say(&labelled(ERROR, "error", &escape::lines(message)));
}

pub(crate) fn warning(message: &str) {
    say(&labelled(WARNING, "warning", &escape::lines(message)));
}

pub(crate) fn violation(message: &str) {
    say(&labelled(ERROR, "violation", &escape::lines(message)));
}

pub(crate) fn note(message: &str) {
    say(&labelled(NOTE, "note", &escape::lines(message)));
}

pub(crate) fn labelled(style: Style, label: &str, message: &str) -> String {
    format!("{style}{label}:{style:#} {message}")
}

/// The text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Writes a message to standard error without escaping it: text from a guest, a file or cargo must have been escaped before.
pub(crate) fn say(message: &str) {
    // If standard error is closed, nobody can read a message about it.
    stdout::flush_aside();
    write(message);
}

/// Like [`note`], without the wait for the output of the watcher, which may have no reader.
#[cfg(unix)]
pub(crate) fn note_at_once(message: &str) {
    write(&labelled(NOTE, "note", &escape::lines(message)));
}

fn write(message: &str) {
    let stderr = || AutoStream::new(io::stderr(), screen::stderr_colours());
    let _ = screen::past_the_bar(|| writeln!(stderr(), "{message}"));
}

/// Writes a message of cargo to standard error: its colours stay, and every other control character is shown as text.
pub(crate) fn say_of_cargo(message: &str) {
    say(&escape::coloured(message));
}

/// Like [`say`], from a thread other than the one of the prompt.
pub(crate) fn say_aside(message: &str) {
    if !screen::above_the_prompt(message) {
        say(message);
    }
}

/// Writes a line of the subcommand's result to standard output.
pub(crate) fn print(line: &str) -> io::Result<()> {
    stdout::flush()
        .and_then(|()| {
            screen::to_stdout(|| writeln!(AutoStream::new(io::stdout(), screen::stdout_colours()), "{line}"))
        })
        .map_err(CannotWrite::named)
}

/// Writes an object of JSON as a line to standard output. Unlike [`print`], it never removes anything from the text.
pub(crate) fn print_json(object: &impl Serialize) -> io::Result<()> {
    let line = |block: &mut Vec<u8>| {
        serde_json::to_writer(&mut *block, object)?;
        block.push(b'\n');
        Ok(())
    };
    screen::to_stdout(|| stdout::write_with(line)).map_err(CannotWrite::named)
}

/// Fails if an earlier write to standard output has failed, and no call has returned its error.
pub(crate) fn check_stdout() -> io::Result<()> {
    stdout::check().map_err(CannotWrite::named)
}

/// Writes the output that is still in memory to standard output.
pub(crate) fn flush() -> io::Result<()> {
    stdout::flush().map_err(CannotWrite::named)
}

/// Standard output cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output, and further output would be lost: {0}")]
pub(crate) struct CannotWrite(io::Error);

impl CannotWrite {
    /// The same error with a message that says what could not be written. Its kind does not change.
    pub(crate) fn named(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error))
    }

    /// Whether an error is of this type.
    #[expect(clippy::redundant_closure_for_method_calls, reason = "the path of the method is longer than the closure")]
    pub(crate) fn is(error: &(dyn std::error::Error + 'static)) -> bool {
        error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<Self>())
    }
}
