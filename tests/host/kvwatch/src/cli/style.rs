//! What the command says on standard error. Colours are anstream's business: none where nobody sees them, or wants them.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};

use super::screen;

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Green.on_default().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const STRONG: Style = Style::new().bold();

pub(crate) fn error(message: &str) {
    say(&labelled(ERROR, "error", message));
}

pub(crate) fn warning(message: &str) {
    say(&labelled(WARNING, "warning", message));
}

pub(crate) fn violation(message: &str) {
    say(&labelled(ERROR, "violation", message));
}

pub(crate) fn note(message: &str) {
    say(&labelled(NOTE, "note", message));
}

pub(crate) fn labelled(style: Style, label: &str, message: &str) -> String {
    format!("{style}{label}:{style:#} {message}")
}

/// The text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Says it as it is.
pub(crate) fn say(message: &str) {
    // A standard error that is closed leaves nobody to tell.
    let _ = screen::past_the_bar(|| writeln!(anstream::stderr(), "{message}"));
}

/// Says it from the side, while the main thread may be at its prompt.
pub(crate) fn say_aside(message: &str) {
    if !screen::above_the_prompt(message) {
        say(message);
    }
}

/// Says what a watcher says, whose colours are its own business.
pub(crate) fn say_as_it_is(line: &str) {
    let _ = screen::past_the_bar(|| writeln!(io::stderr(), "{line}"));
}

/// Writes what a watcher writes.
pub(crate) fn print_as_it_is(line: &str) -> io::Result<()> {
    screen::to_stdout(|| writeln!(io::stdout(), "{line}"))
}

/// Writes to standard output, as the result of a subcommand.
pub(crate) fn print(line: &str) -> io::Result<()> {
    screen::to_stdout(|| writeln!(anstream::stdout(), "{line}"))
}
