//! What `run` tells of events: to people, or to programs.

use std::io;
use std::time::Duration;

use kvwatch::testing::{BadLine, Change, Event, Problem};
use kvwatch::{ByteSize, Cause, Operation, Outcome};
use serde::Serialize;

use super::{chain, style};

/// Where a run's progress is told.
pub(crate) trait Report {
    /// An event is over. `number` counts them from 1.
    fn event(&mut self, number: u64, event: &Event, outcome: &Outcome) -> io::Result<()>;

    /// A line is no event, and may be the end of the run.
    fn bad_line(&mut self, source: &str, bad: &BadLine, end: bool) -> io::Result<()>;

    /// The run is over.
    fn summary(&mut self, tally: &Tally) -> io::Result<()>;
}

/// What has come of a run's events.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) failed: u64,
    pub(crate) violations: u64,
    pub(crate) bad_lines: u64,
    time: Duration,
    longest: Duration,
    peak_memory: u64,
    unexplained: bool,
}

impl Tally {
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        self.events += 1;
        if let Some(trapped) = outcome.trapped() {
            self.failed += 1;
            self.unexplained |= matches!(trapped.cause, Cause::Wasm(_)) && trapped.last_words.is_empty();
        }
        self.violations += outcome.violations.len() as u64;
        let duration = outcome.duration.unwrap_or_default();
        self.time += duration;
        self.longest = self.longest.max(duration);
        self.peak_memory = self.peak_memory.max(outcome.peak_memory);
    }

    /// Whether the watcher did all that was asked of it, and nothing wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed == 0 && self.violations == 0
    }

    fn mean(&self) -> Duration {
        let nanos = self.time.as_nanos().checked_div(u128::from(self.events)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn operation(event: &Event) -> Operation {
    match event.change {
        Change::Set(_) => Operation::Set,
        Change::Delete => Operation::Delete,
    }
}

fn problem(problem: &Problem) -> String {
    match problem {
        Problem::Io(error) => error.to_string(),
        Problem::Event(error) => chain(error),
        _ => String::from("it is no event"),
    }
}

/// Lines for people, on standard error. Standard output is the watcher's.
pub(crate) struct Plain {
    /// Whether the watcher has a standard error to say something on.
    pub(crate) has_stderr: bool,
}

impl Report for Plain {
    fn event(&mut self, _number: u64, event: &Event, outcome: &Outcome) -> io::Result<()> {
        // What the watcher had to say of it is on standard error already.
        if let Some(trapped) = outcome.trapped() {
            style::error(&trapped.headline());
        }
        for violation in &outcome.violations {
            let rule = violation.fault.rule();
            style::violation(&format!("{} of {:?}: {violation} [{rule}]", operation(event), event.key));
        }
        Ok(())
    }

    fn bad_line(&mut self, source: &str, bad: &BadLine, end: bool) -> io::Result<()> {
        let label = if end { style::error } else { style::warning };
        label(&format!("{source}:{}: {}", bad.line, problem(&bad.problem)));
        Ok(())
    }

    fn summary(&mut self, tally: &Tally) -> io::Result<()> {
        let mut counts = vec![plural(tally.events, "event")];
        if tally.failed > 0 {
            counts.push(format!("{} failed", tally.failed));
        }
        if tally.violations > 0 {
            counts.push(plural(tally.violations, "violation"));
        }
        if tally.bad_lines > 0 {
            counts.push(plural(tally.bad_lines, "bad line"));
        }
        if tally.events > 0 {
            counts.push(format!("{:.1?} an event, {:.1?} at most", tally.mean(), tally.longest));
            counts.push(format!("{} of guest memory", ByteSize(tally.peak_memory)));
        }
        style::say(&counts.join("; "));
        if tally.unexplained && !self.has_stderr {
            style::note(
                "this watcher has no standard error to say on what it failed at: build it for wasm32-wasip2 or wasm32-wasip1",
            );
        }
        Ok(())
    }
}

fn plural(number: u64, name: &str) -> String {
    if number == 1 { format!("1 {name}") } else { format!("{number} {name}s") }
}

/// JSON for programs, on standard output, an object a line.
pub(crate) struct Json;

#[derive(Serialize)]
struct EventLine<'a> {
    event: u64,
    op: &'static str,
    key: &'a str,
    handled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap: Option<TrapObject<'a>>,
    violations: Vec<ViolationObject>,
    values: Vec<ValueObject>,
    stdout: &'a str,
    stderr: &'a str,
    calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    nanoseconds: Option<u64>,
    peak_memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
}

#[derive(Serialize)]
struct TrapObject<'a> {
    message: String,
    cause: String,
    last_words: &'a [String],
}

#[derive(Serialize)]
struct ViolationObject {
    rule: &'static str,
    message: String,
}

#[derive(Serialize)]
struct ValueObject {
    len: u64,
}

#[derive(Serialize)]
struct BadLineLine<'a> {
    bad_line: BadLineObject<'a>,
}

#[derive(Serialize)]
struct BadLineObject<'a> {
    source: &'a str,
    line: usize,
    message: String,
}

#[derive(Serialize)]
struct SummaryLine {
    summary: SummaryObject,
}

#[derive(Serialize)]
struct SummaryObject {
    events: u64,
    failed: u64,
    violations: u64,
    bad_lines: u64,
    nanoseconds: u64,
    mean_nanoseconds: u64,
    longest_nanoseconds: u64,
    peak_memory: u64,
}

impl Report for Json {
    fn event(&mut self, number: u64, event: &Event, outcome: &Outcome) -> io::Result<()> {
        write(&EventLine {
            event: number,
            op: match operation(event) {
                Operation::Set => "set",
                Operation::Delete => "delete",
            },
            key: &event.key,
            handled: outcome.trapped().is_none(),
            trap: outcome.trapped().map(|trapped| TrapObject {
                message: trapped.headline(),
                cause: trapped.cause.to_string(),
                last_words: &trapped.last_words,
            }),
            violations: outcome
                .violations
                .iter()
                .map(|violation| ViolationObject { rule: violation.fault.rule(), message: violation.to_string() })
                .collect(),
            values: outcome.values.iter().map(|value| ValueObject { len: value.len }).collect(),
            stdout: &outcome.stdout,
            stderr: &outcome.stderr,
            calls: outcome.calls,
            nanoseconds: outcome.duration.map(nanoseconds),
            peak_memory: outcome.peak_memory,
            fuel: outcome.fuel,
        })
    }

    fn bad_line(&mut self, source: &str, bad: &BadLine, _end: bool) -> io::Result<()> {
        write(&BadLineLine { bad_line: BadLineObject { source, line: bad.line, message: problem(&bad.problem) } })
    }

    fn summary(&mut self, tally: &Tally) -> io::Result<()> {
        write(&SummaryLine {
            summary: SummaryObject {
                events: tally.events,
                failed: tally.failed,
                violations: tally.violations,
                bad_lines: tally.bad_lines,
                nanoseconds: nanoseconds(tally.time),
                mean_nanoseconds: nanoseconds(tally.mean()),
                longest_nanoseconds: nanoseconds(tally.longest),
                peak_memory: tally.peak_memory,
            },
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn write(object: &impl Serialize) -> io::Result<()> {
    style::print(&serde_json::to_string(object)?)
}
