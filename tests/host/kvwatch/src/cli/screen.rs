//! Writes to the terminal. The messages share it with a progress bar, or with a prompt at which a user types.

use std::io::{self, IsTerminal as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use anstream::{AutoStream, ColorChoice};
use indicatif::ProgressBar;
use rustyline::ExternalPrinter;

use super::stdout;

/// The bar, while one is drawn.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints lines above the prompt, while there is a prompt.
static PROMPT: Mutex<Option<Box<dyn ExternalPrinter + Send>>> = Mutex::new(None);

/// Whether standard error is a terminal. The answer is kept, because it may be needed for each event.
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

/// The bar is drawn until this value is dropped.
#[must_use]
pub(crate) struct Shown(());

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = lock(&BAR).take() {
            bar.finish_and_clear();
        }
    }
}

/// Writes to standard output. If the bar is on the same terminal, it is removed during the write.
pub(crate) fn to_stdout<T>(write: impl FnOnce() -> T) -> T {
    if stdout::is_terminal() { past_the_bar(write) } else { write() }
}

/// Writes while the bar is removed.
pub(crate) fn past_the_bar<T>(write: impl FnOnce() -> T) -> T {
    match &*lock(&BAR) {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Prints messages of other threads above this prompt from now on.
pub(crate) fn set_prompt(printer: impl ExternalPrinter + Send + 'static) {
    *lock(&PROMPT) = Some(Box::new(printer));
}

/// Writes a line above the prompt, at which the user may be typing. Returns `false` if there is no prompt.
pub(crate) fn above_the_prompt(line: &str) -> bool {
    let Some(printer) = &mut *lock(&PROMPT) else { return false };
    let line = if is_coloured() { line.to_owned() } else { anstream::adapter::strip_str(line).to_string() };
    printer.print(line + "\n").is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves no value half set.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
