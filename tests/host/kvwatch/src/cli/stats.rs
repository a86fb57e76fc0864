//! The figures of a run's events.

use std::time::Duration;

use hdrhistogram::Histogram;
use kvwatch::{ByteSize, Cause, Operation, Outcome};

use super::style::{self, STRONG};

/// The figures of a run's events.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) bad_lines: u64,
    /// The number of events that were handled, and in which the watcher wrote to its standard error.
    pub(crate) wrote_stderr: u64,
    /// The number of events that were handled although a call to the host failed.
    pub(crate) hid_failures: u64,
    /// The number of the watcher's changes of the store.
    pub(crate) changes: u64,
    set: Figures,
    delete: Figures,
    unexplained: bool,
}

/// The figures of some events.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) events: u64,
    pub(crate) failed: u64,
    pub(crate) violations: u64,
    pub(crate) time: Duration,
    pub(crate) longest: Duration,
    pub(crate) peak_memory: u64,
    /// In nanoseconds, to three digits.
    times: Histogram<u64>,
}

impl Stats {
    pub(crate) fn count(&mut self, operation: Operation, outcome: &Outcome) {
        let figures = match operation {
            Operation::Set => &mut self.set,
            Operation::Delete => &mut self.delete,
        };
        figures.count(outcome);
        self.changes += outcome.change_count;
        self.wrote_stderr += u64::from(outcome.is_handled() && outcome.wrote_stderr());
        self.hid_failures += u64::from(outcome.is_handled() && outcome.host_failures > 0);
        let unexplained = |cause: &Cause| matches!(cause, Cause::Wasm(_));
        self.unexplained |=
            outcome.trapped().is_some_and(|trapped| unexplained(&trapped.cause) && trapped.last_words.is_empty());
    }

    /// The figures of each operation, with its name.
    pub(crate) fn operations(&self) -> [(&'static str, &Figures); 2] {
        [("set", &self.set), ("delete", &self.delete)]
    }

    /// The figures of all events.
    pub(crate) fn all(&self) -> Figures {
        let mut all = self.set.clone();
        all.merge(&self.delete);
        all
    }

    pub(crate) fn all_events(&self) -> u64 {
        self.set.events + self.delete.events
    }

    /// Whether the watcher handled every event and broke no rule.
    pub(crate) fn is_clean(&self) -> bool {
        self.operations().iter().all(|(_, figures)| figures.failed == 0 && figures.violations == 0)
    }

    /// Whether an event failed without a message that says why.
    pub(crate) fn unexplained(&self) -> bool {
        self.unexplained
    }

    /// The most important counts in one line.
    pub(crate) fn headline(&self) -> String {
        let all = self.all();
        let mut counts = vec![plural(all.events, "event")];
        if all.failed > 0 {
            counts.push(format!("{} failed", all.failed));
        }
        if all.violations > 0 {
            counts.push(plural(all.violations, "violation"));
        }
        if self.changes > 0 {
            counts.push(format!("{} of the store by the watcher", plural(self.changes, "change")));
        }
        if self.bad_lines > 0 {
            counts.push(plural(self.bad_lines, "bad line"));
        }
        if self.wrote_stderr > 0 {
            counts.push(format!("{} handled with messages on standard error", self.wrote_stderr));
        }
        if self.hid_failures > 0 {
            counts.push(format!("{} handled although a call to the host failed", self.hid_failures));
        }
        if all.events == 0 && self.bad_lines > 0 {
            counts.push("no line was an event".to_owned());
        }
        counts.join(", ")
    }

    /// A table with one line for each operation. If there are two operations, it has a line for all events too.
    pub(crate) fn table(&self) -> Option<String> {
        let all = self.all();
        let mut lines: Vec<_> = self.operations().into_iter().filter(|(_, figures)| figures.events > 0).collect();
        if lines.len() > 1 {
            lines.push(("all", &all));
        }
        let rows: Vec<_> = lines.into_iter().map(|(name, figures)| figures.row(name)).collect();
        (!rows.is_empty()).then(|| table(&["operation", "events", "failed", "p50", "p99", "longest", "memory"], &rows))
    }
}

impl Figures {
    fn count(&mut self, outcome: &Outcome) {
        let duration = outcome.duration.unwrap_or_default();
        self.events += 1;
        self.failed += u64::from(!outcome.is_handled());
        self.violations += outcome.violation_count;
        self.time += duration;
        self.longest = self.longest.max(duration);
        self.peak_memory = self.peak_memory.max(outcome.peak_memory);
        // The histogram grows when it must. It fails if its size does not fit into an address.
        let _ = self.times.record(nanoseconds(duration));
    }

    fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.failed += other.failed;
        self.violations += other.violations;
        self.time += other.time;
        self.longest = self.longest.max(other.longest);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        // It fails only if the other histogram is larger, and this one cannot grow.
        let _ = self.times.add(&other.times);
    }

    /// The time that this part of the events did not exceed. The part is 0.99, for example.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        // The histogram returns the upper end of the step that contains the time.
        Duration::from_nanos(self.times.value_at_quantile(quantile)).min(self.longest)
    }

    pub(crate) fn mean(&self) -> Duration {
        let nanos = self.time.as_nanos().checked_div(u128::from(self.events)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn row(&self, name: &str) -> Vec<String> {
        let time = |time: Duration| format!("{time:.1?}");
        vec![
            name.to_owned(),
            self.events.to_string(),
            self.failed.to_string(),
            time(self.quantile(0.5)),
            time(self.quantile(0.99)),
            time(self.longest),
            ByteSize(self.peak_memory).to_string(),
        ]
    }
}

impl Default for Figures {
    fn default() -> Self {
        // A histogram can fail only with more than five digits.
        let times = Histogram::new(3).unwrap_or_else(|_| unreachable!("a histogram of three digits"));
        let zero = Duration::ZERO;
        Self { events: 0, failed: 0, violations: 0, time: zero, longest: zero, peak_memory: 0, times }
    }
}

pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn plural(number: u64, name: &str) -> String {
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// A table: the names are aligned on the left, and the numbers on the right.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        let first = index == 0;
        column.set_cell_alignment(if first { CellAlignment::Left } else { CellAlignment::Right });
        column.set_padding((if first { 0 } else { 3 }, 0));
    }
    let text = table.trim_fmt();
    let (head, rows) = text.split_once('\n').unwrap_or((&text, ""));
    format!("{}\n{rows}", style::styled(STRONG, head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_up_a_table() {
        let rows = [vec!["set".to_owned(), "12.3µs".to_owned()], vec!["delete".to_owned(), "9.1ms".to_owned()]];
        let table = anstream::adapter::strip_str(&table(&["operation", "p50"], &rows)).to_string();
        assert_eq!(table, "operation      p50\nset         12.3µs\ndelete       9.1ms");
    }

    #[test]
    fn no_quantile_is_longer_than_the_longest() {
        let mut figures = Figures::default();
        for nanos in 1..=100 {
            figures.events += 1;
            figures.times.record(nanos * 1_234_567).unwrap();
            figures.longest = Duration::from_nanos(nanos * 1_234_567);
        }
        let about = |time: Duration, nanos: u64| time.as_nanos().abs_diff(u128::from(nanos)) < u128::from(nanos) / 500;
        assert!(about(figures.quantile(0.5), 50 * 1_234_567));
        assert!(about(figures.quantile(0.99), 99 * 1_234_567));
        assert_eq!(figures.quantile(1.0), figures.longest);
        assert_eq!(Figures::default().quantile(0.99), Duration::ZERO);
    }
}
