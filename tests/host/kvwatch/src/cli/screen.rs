//! The terminal, which the lines that are said share with a progress bar, or with a prompt that somebody types at.

use std::io::{self, IsTerminal as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use anstream::{AutoStream, ColorChoice};
use indicatif::ProgressBar;
use rustyline::ExternalPrinter;

use super::stdout;

/// The bar that is drawn, if one is.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// What gets a line past the prompt, if there is one.
static PROMPT: Mutex<Option<Box<dyn ExternalPrinter + Send>>> = Mutex::new(None);

/// Whether standard error is a terminal. The system is asked once: it may be needed for each event.
pub(crate) fn is_watched() -> bool {
    static IS_TERMINAL: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());
    *IS_TERMINAL
}

/// Whether standard error is coloured.
pub(crate) fn is_coloured() -> bool {
    stderr_colours() != ColorChoice::Never
}

/// The colours of standard error, which do not change while the program runs.
pub(crate) fn stderr_colours() -> ColorChoice {
    static COLOURS: LazyLock<ColorChoice> = LazyLock::new(|| AutoStream::choice(&io::stderr()));
    *COLOURS
}

/// The colours of standard output, which do not change while the program runs.
pub(crate) fn stdout_colours() -> ColorChoice {
    static COLOURS: LazyLock<ColorChoice> = LazyLock::new(|| AutoStream::choice(&io::stdout()));
    *COLOURS
}

/// Draws a bar until the guard is dropped.
pub(crate) fn show(bar: ProgressBar) -> Shown {
    *lock(&BAR) = Some(bar);
    Shown(())
}

/// While it lives, a bar is drawn.
#[must_use]
pub(crate) struct Shown(());

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = lock(&BAR).take() {
            bar.finish_and_clear();
        }
    }
}

/// Writes to standard output, with the bar out of the way if both are on a terminal.
pub(crate) fn to_stdout<T>(write: impl FnOnce() -> T) -> T {
    if stdout::is_terminal() { past_the_bar(write) } else { write() }
}

/// Writes, with the bar out of the way.
pub(crate) fn past_the_bar<T>(write: impl FnOnce() -> T) -> T {
    match &*lock(&BAR) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Has a prompt, from now on.
pub(crate) fn set_prompt(printer: impl ExternalPrinter + Send + 'static) {
    *lock(&PROMPT) = Some(Box::new(printer));
}

/// Writes a line while somebody may be typing: above what is typed. `false` is that there is no prompt.
pub(crate) fn above_the_prompt(line: &str) -> bool {
    let Some(printer) = &mut *lock(&PROMPT) else { return false };
    let line = if is_coloured() { line.to_owned() } else { anstream::adapter::strip_str(line).to_string() };
    printer.print(line + "\n").is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each is set as a whole, or not.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
