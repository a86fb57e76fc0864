//! Bars and spinners for long work, when standard error is a terminal.

use std::io::{self, BufRead, Read};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen::{self, Shown};

/// Work that takes less time than this shows no bar.
const LONG: Duration = Duration::from_millis(400);

/// The time after which a bar is drawn again if nothing has changed.
const TICK: Duration = Duration::from_millis(100);

/// Reads lines, and shows a bar with the part that was read.
///
/// It observes the file and not the events, unlike a [`Report`](super::report::Report): the number of events in a file is known at
/// its end only, and its length from the start.
pub(crate) struct Progress<R> {
    lines: R,
    bar: ProgressBar,
    begun: Instant,
    shown: Option<Shown>,
}

impl<R: BufRead> Progress<R> {
    /// Reads `lines`, which have `len` bytes together.
    pub(crate) fn new(lines: R, len: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::hidden());
        bar.set_style(style("{percent:>3}% of {binary_total_bytes} {wide_bar} {eta:>3} left").progress_chars("━╸ "));
        Self { lines, bar, begun: Instant::now(), shown: None }
    }
}

impl<R: BufRead> BufRead for Progress<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.lines.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.lines.consume(amount);
        self.bar.inc(amount as u64);
        if self.shown.is_none() && self.begun.elapsed() > LONG && screen::is_watched() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            self.bar.enable_steady_tick(TICK);
            self.shown = Some(screen::show(self.bar.clone()));
        }
    }
}

impl<R: BufRead> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Turns during some work, and names the work.
pub(crate) struct Spinner {
    bar: ProgressBar,
    _shown: Shown,
}

impl Spinner {
    /// Shows a spinner, if standard error is a terminal.
    pub(crate) fn new(doing: &str) -> Option<Self> {
        if !screen::is_watched() {
            return None;
        }
        let bar = ProgressBar::new_spinner().with_style(style("{spinner} {prefix}, {elapsed} {wide_msg}"));
        bar.set_prefix(doing.to_owned());
        bar.enable_steady_tick(TICK);
        Some(Self { _shown: screen::show(bar.clone()), bar })
    }

    /// Names the current work.
    pub(crate) fn at(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
