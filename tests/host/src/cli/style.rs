//! What the command says on standard error. Colours are anstream's business: none where nobody sees them, or wants them.

use std::io::{self, Write as _};

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const NOTE: Style = AnsiColor::Green.on_default().bold();

pub(crate) fn error(message: &str) {
    labelled(ERROR, "error", message);
}

pub(crate) fn warning(message: &str) {
    labelled(WARNING, "warning", message);
}

pub(crate) fn violation(message: &str) {
    labelled(ERROR, "violation", message);
}

pub(crate) fn note(message: &str) {
    labelled(NOTE, "note", message);
}

fn labelled(style: Style, label: &str, message: &str) {
    say(&format!("{style}{label}:{style:#} {message}"));
}

/// Says it as it is.
pub(crate) fn say(message: &str) {
    // A standard error that is closed leaves nobody to tell.
    let _ = writeln!(anstream::stderr(), "{message}");
}

/// Writes to standard output, as the result of a subcommand.
pub(crate) fn print(line: &str) -> io::Result<()> {
    writeln!(anstream::stdout(), "{line}")
}
