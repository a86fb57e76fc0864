//! Reports of a run: text for people, or JSON for programs.

mod json;
mod plain;

use std::io;

use kvwatch::world::{BadLine, Change, Event};
use kvwatch::{Operation, Outcome};

pub(crate) use self::json::Json;
pub(crate) use self::plain::Plain;
use super::stats::Stats;

/// Observes a run. The text for people and the JSON for programs are two observers.
pub(crate) trait Report {
    /// An event is over. `number` counts events from 1. `round` is 0 for an event of the source. For a write of the watcher that
    /// came back to it, `round` says how often this happened.
    fn event(&mut self, number: u64, round: u32, event: &Event, outcome: &Outcome) -> io::Result<()>;

    /// The source has a remark for the user.
    fn warning(&mut self, message: &str) -> io::Result<()>;

    /// A line is not an event. `end` says whether it ends the run.
    fn bad_line(&mut self, source: &str, bad: &BadLine, end: bool) -> io::Result<()>;

    /// The run is over.
    fn summary(&mut self, stats: &Stats) -> io::Result<()>;
}

pub(crate) fn operation(event: &Event) -> Operation {
    match event.change {
        Change::Set(_) => Operation::Set,
        Change::Delete => Operation::Delete,
    }
}
