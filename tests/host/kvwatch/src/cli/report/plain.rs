use std::io;

use kvwatch::world::{BadLine, Change, Event, StoreChange};
use kvwatch::{ByteSize, Outcome};

use super::{Report, operation};
use crate::cli::stats::{Stats, plural};
use crate::cli::{escape, style};

/// Lines for people, on standard error. Standard output is the watcher's.
pub(crate) struct Plain {
    /// Whether the watcher has a standard error that it can write messages to.
    pub(crate) has_stderr: bool,
    /// The number of further changes of the store that are shown. The others are only counted.
    pub(crate) changes_left: u64,
}

impl Plain {
    /// The most changes that are shown of a run.
    pub(crate) const CHANGES: u64 = 100;

    /// The most changes that are shown of one event.
    const CHANGES_OF_AN_EVENT: usize = 10;

    fn show_changes(&mut self, outcome: &Outcome) -> io::Result<()> {
        if outcome.change_count == 0 || self.changes_left == 0 {
            return Ok(());
        }
        let most = Self::CHANGES_OF_AN_EVENT.min(usize::try_from(self.changes_left).unwrap_or(usize::MAX));
        let shown = &outcome.changes()[..outcome.changes().len().min(most)];
        for change in shown {
            style::say(&style::labelled(style::NOTE, "changed", &escape::line(&described(change)?)));
        }
        self.changes_left -= shown.len() as u64;
        let more = outcome.change_count - shown.len() as u64;
        if self.changes_left == 0 {
            style::say(&style::styled(style::FAINT, "further changes are only counted; --json shows them"));
        } else if more > 0 {
            style::say(&style::styled(style::FAINT, &format!("and {}", plural(more, "more change"))));
        }
        Ok(())
    }
}

/// `"oslo" of "totals" is set to "1750"`
fn described(change: &StoreChange) -> io::Result<String> {
    const LONGEST: u64 = 80;
    let StoreChange { bucket, event, .. } = change;
    Ok(match &event.change {
        Change::Delete => format!("{:?} of {bucket:?} is deleted", event.key),
        Change::Set(content) => {
            let start = escape::start(&content.read(0, LONGEST)?);
            let rest =
                if content.len() > LONGEST { format!("…, {}", ByteSize(content.len())) } else { String::new() };
            format!("{:?} of {bucket:?} is set to {start}{rest}", event.key)
        }
    })
}

impl Report for Plain {
    fn event(&mut self, _number: u64, round: u32, event: &Event, outcome: &Outcome) -> io::Result<()> {
        if round > 0 && self.changes_left > 0 {
            let message =
                format!("that change came back to the watcher, round {round}: {} of {:?}", operation(event), event.key);
            style::say(&style::styled(style::FAINT, &escape::line(&message)));
        }
        // The watcher's own messages are already on standard error.
        if let Some(trapped) = outcome.trapped() {
            style::error(&escape::line(&trapped.headline()));
            for function in &trapped.backtrace {
                style::say(&style::styled(style::FAINT, &format!("    in {}", escape::line(function))));
            }
        }
        for host in outcome.denied_hosts() {
            style::note(&format!("a request to {host} was denied: --allow-host {host} allows it"));
        }
        self.show_changes(outcome)?;
        for violation in outcome.violations() {
            let rule = violation.fault.rule();
            style::violation(&format!("{} of {:?}: {violation} [{rule}]", operation(event), event.key));
        }
        let more = outcome.violation_count - outcome.violations().len() as u64;
        if more > 0 {
            style::say(&style::styled(style::FAINT, &format!("and {}", plural(more, "more violation"))));
        }
        Ok(())
    }

    fn warning(&mut self, message: &str) -> io::Result<()> {
        style::warning(message);
        Ok(())
    }

    fn bad_line(&mut self, source: &str, bad: &BadLine, end: bool) -> io::Result<()> {
        let label = if end { style::error } else { style::warning };
        label(&format!("{source}:{}: {}", bad.line, bad.problem));
        Ok(())
    }

    fn summary(&mut self, stats: &Stats) -> io::Result<()> {
        style::say(&stats.headline());
        if let Some(table) = stats.table() {
            style::say(&table);
        }
        if stats.unexplained() && !self.has_stderr {
            style::note(
                "this watcher has no standard error, so its messages are lost: build it for wasm32-wasip2 or wasm32-wasip1",
            );
        }
        Ok(())
    }
}
