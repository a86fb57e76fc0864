//! What `run` tells of events: to people, or to programs.

use std::io;

use kvwatch::world::{BadLine, Change, Event, EventError, Problem};
use kvwatch::{Operation, Outcome};
use serde::Serialize;

use super::stats::{Figures, Stats, nanoseconds};
use super::{chain, style};

/// Where a run's progress is told.
pub(crate) trait Report {
    /// An event is over. `number` counts them from 1.
    fn event(&mut self, number: u64, event: &Event, outcome: &Outcome) -> io::Result<()>;

    /// A line is no event, and may be the end of the run.
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

fn problem(problem: &Problem) -> String {
    match problem {
        Problem::Io(error) => error.to_string(),
        Problem::Event(error) => bad_event(error),
        _ => String::from("it is no event"),
    }
}

/// What is wrong with an event. Which line it is in, is told with it: the parser, which is given one line, says that it is the
/// first.
pub(crate) fn bad_event(error: &EventError) -> String {
    let text = chain(error);
    let EventError::Json(json) = error else { return text };
    let place = format!(" at line {} column {}", json.line(), json.column());
    text.replacen(&place, &format!(", at column {}", json.column()), 1)
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

    fn summary(&mut self, stats: &Stats) -> io::Result<()> {
        style::say(&stats.headline());
        if let Some(table) = stats.table() {
            style::say(&table);
        }
        if stats.unexplained() && !self.has_stderr {
            style::note(
                "this watcher has no standard error to say on what it failed at: build it for wasm32-wasip2 or wasm32-wasip1",
            );
        }
        Ok(())
    }
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
    operations: OperationsObject,
}

#[derive(Serialize)]
struct OperationsObject {
    set: OperationObject,
    delete: OperationObject,
}

#[derive(Serialize)]
struct OperationObject {
    events: u64,
    failed: u64,
    violations: u64,
    p50_nanoseconds: u64,
    p99_nanoseconds: u64,
    longest_nanoseconds: u64,
    peak_memory: u64,
}

impl OperationObject {
    fn of(figures: &Figures) -> Self {
        Self {
            events: figures.events,
            failed: figures.failed,
            violations: figures.violations,
            p50_nanoseconds: nanoseconds(figures.quantile(0.5)),
            p99_nanoseconds: nanoseconds(figures.quantile(0.99)),
            longest_nanoseconds: nanoseconds(figures.longest),
            peak_memory: figures.peak_memory,
        }
    }
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

    fn summary(&mut self, stats: &Stats) -> io::Result<()> {
        let all = stats.all();
        let [(_, set), (_, delete)] = stats.operations();
        write(&SummaryLine {
            summary: SummaryObject {
                events: all.events,
                failed: all.failed,
                violations: all.violations,
                bad_lines: stats.bad_lines,
                nanoseconds: nanoseconds(all.time),
                mean_nanoseconds: nanoseconds(all.mean()),
                longest_nanoseconds: nanoseconds(all.longest),
                peak_memory: all.peak_memory,
                operations: OperationsObject { set: OperationObject::of(set), delete: OperationObject::of(delete) },
            },
        })
    }
}

fn write(object: &impl Serialize) -> io::Result<()> {
    style::print(&serde_json::to_string(object)?)
}
