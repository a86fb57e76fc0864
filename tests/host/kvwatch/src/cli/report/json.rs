use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kvwatch::Outcome;
use kvwatch::world::{BadLine, Change, Event, Problem, StoreChange};
use serde::Serialize;

use super::Report;
use crate::cli::stats::{Figures, Stats, nanoseconds};
use crate::cli::style;

/// JSON for programs, on standard output: one object in each line.
pub(crate) struct Json;

/// The version of the objects. It changes when a field is removed or changes its meaning, and not when a field is added.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct WarningLine<'a> {
    version: u32,
    warning: &'a str,
}

#[derive(Serialize)]
struct EventLine<'a> {
    version: u32,
    event: u64,
    #[serde(skip_serializing_if = "is_zero")]
    round: u64,
    op: &'static str,
    key: &'a str,
    handled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    trap: Option<TrapObject<'a>>,
    violations: Vec<ViolationObject>,
    #[serde(skip_serializing_if = "is_zero")]
    violations_missing: u64,
    #[serde(skip_serializing_if = "is_zero")]
    host_failures: u64,
    values: Vec<ValueObject<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    denied_hosts: &'a [String],
    changes: Vec<ChangeObject<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    changes_missing: u64,
    stdout: &'a str,
    stderr: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    stdout_missing: u64,
    #[serde(skip_serializing_if = "is_zero")]
    stderr_missing: u64,
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
    backtrace: &'a [String],
}

#[derive(Serialize)]
struct ViolationObject {
    rule: &'static str,
    message: String,
}

#[derive(Serialize)]
struct ValueObject<'a> {
    len: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
}

/// A change that the watcher made in the store.
#[derive(Serialize)]
struct ChangeObject<'a> {
    bucket: &'a str,
    op: &'static str,
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl<'a> ChangeObject<'a> {
    fn of(StoreChange { bucket, event, .. }: &'a StoreChange) -> io::Result<Self> {
        const LONGEST: u64 = 64 * 1024;
        let mut object = Self { bucket, op: op(event), key: &event.key, len: None, value: None, base64: None };
        if let Change::Set(content) = &event.change {
            object.len = Some(content.len());
            if content.len() <= LONGEST {
                match String::from_utf8(content.read(0, LONGEST)?) {
                    Ok(text) => object.value = Some(text),
                    Err(bytes) => object.base64 = Some(BASE64.encode(bytes.as_bytes())),
                }
            }
        }
        Ok(object)
    }
}

#[derive(Serialize)]
struct BadLineLine<'a> {
    version: u32,
    bad_line: BadLineObject<'a>,
}

#[derive(Serialize)]
struct BadLineObject<'a> {
    source: &'a str,
    line: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    message: String,
}

#[derive(Serialize)]
struct SummaryLine {
    version: u32,
    summary: SummaryObject,
}

#[derive(Serialize)]
struct SummaryObject {
    events: u64,
    failed: u64,
    violations: u64,
    bad_lines: u64,
    wrote_stderr: u64,
    hid_failures: u64,
    changes: u64,
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
    fn event(&mut self, number: u64, round: u32, event: &Event, outcome: &Outcome) -> io::Result<()> {
        write(&EventLine {
            version: VERSION,
            event: number,
            round: round.into(),
            op: op(event),
            key: &event.key,
            handled: outcome.trapped().is_none(),
            trap: outcome.trapped().map(|trapped| TrapObject {
                message: trapped.headline(),
                cause: trapped.cause.to_string(),
                last_words: &trapped.last_words,
                backtrace: &trapped.backtrace,
            }),
            violations: outcome
                .violations()
                .iter()
                .map(|violation| ViolationObject { rule: violation.fault.rule(), message: violation.to_string() })
                .collect(),
            violations_missing: outcome.violation_count - outcome.violations().len() as u64,
            host_failures: outcome.host_failures,
            values: outcome
                .values()
                .iter()
                .map(|value| ValueObject {
                    len: value.len,
                    value: str::from_utf8(&value.bytes).ok().filter(|text| text.len() as u64 == value.len),
                })
                .collect(),
            denied_hosts: outcome.denied_hosts(),
            changes: outcome.changes().iter().map(ChangeObject::of).collect::<io::Result<_>>()?,
            changes_missing: outcome.change_count - outcome.changes().len() as u64,
            stdout: outcome.stdout(),
            stderr: outcome.stderr(),
            stdout_missing: outcome.stdout_missing(),
            stderr_missing: outcome.stderr_missing(),
            calls: outcome.calls,
            nanoseconds: outcome.duration.map(nanoseconds),
            peak_memory: outcome.peak_memory,
            fuel: outcome.fuel,
        })
    }

    fn warning(&mut self, message: &str) -> io::Result<()> {
        write(&WarningLine { version: VERSION, warning: message })
    }

    fn bad_line(&mut self, source: &str, bad: &BadLine, _end: bool) -> io::Result<()> {
        let column = match &bad.problem {
            Problem::Event(error) => Some(error.column),
            _ => None,
        };
        let bad_line = BadLineObject { source, line: bad.line, column, message: bad.problem.to_string() };
        write(&BadLineLine { version: VERSION, bad_line })
    }

    fn summary(&mut self, stats: &Stats) -> io::Result<()> {
        let all = stats.all();
        let [(_, set), (_, delete)] = stats.operations();
        write(&SummaryLine {
            version: VERSION,
            summary: SummaryObject {
                events: all.events,
                failed: all.failed,
                violations: all.violations,
                bad_lines: stats.bad_lines,
                wrote_stderr: stats.wrote_stderr,
                hid_failures: stats.hid_failures,
                changes: stats.changes,
                nanoseconds: nanoseconds(all.time),
                mean_nanoseconds: nanoseconds(all.mean()),
                longest_nanoseconds: nanoseconds(all.longest),
                peak_memory: all.peak_memory,
                operations: OperationsObject { set: OperationObject::of(set), delete: OperationObject::of(delete) },
            },
        })
    }
}

/// The name of the operation in a file of events.
fn op(event: &Event) -> &'static str {
    match event.change {
        Change::Set(_) => "set",
        Change::Delete => "delete",
    }
}

fn write(object: &impl Serialize) -> io::Result<()> {
    style::print_json(object)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
