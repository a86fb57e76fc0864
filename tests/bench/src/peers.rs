//! The loops with which `kvwatch run` is compared. Each loop is a separate process. It reads the same file of events,
//! does the same work, and writes the same output.

use std::borrow::Cow;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use wasmtime::{Result, bail};

use crate::host::{Guest, Machine, Watcher};
use crate::printed::Printed;

#[path = "../guests/sum.rs"]
mod sum;

/// The first argument of the benchmark's program when it runs a loop.
pub const PEER: &str = "peer";

/// The output of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// The output of the guest.
    Printed,
    /// A JSON object for each event, like `kvwatch run --json`.
    Json,
}

impl Writes {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "printed" => Self::Printed,
            "json" => Self::Json,
            _ => bail!("there is no output `{name}`"),
        })
    }

    /// The argument for this output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Printed => "printed",
            Self::Json => "json",
        }
    }
}

/// A recorded set.
#[derive(Deserialize)]
struct Line<'a> {
    op: &'a str,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// The report of `kvwatch run --json` for an event without faults.
#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    event: u64,
    op: &'a str,
    key: &'a str,
    handled: bool,
    violations: [(); 0],
    values: [(); 0],
    changes: [(); 0],
    stdout: &'a str,
    stderr: &'a str,
    calls: u64,
    nanoseconds: u64,
    peak_memory: u64,
}

/// Runs a loop. The arguments are `native EVENTS WORK`, `kept EVENTS COMPONENT OUTPUT` or `fresh EVENTS COMPONENT OUTPUT`.
///
/// # Errors
///
/// When a guest traps, or there is no such loop.
pub fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [kind, events, work] if kind == "native" => native(events, work),
        [kind, events, component, writes] => {
            let writes = Writes::named(writes)?;
            let component = fs::read(component)?;
            match kind.as_str() {
                "kept" => {
                    let printed = Printed::new();
                    let guest = Machine::fast()?.load(&component)?;
                    let mut watcher = guest.start_printing(Some(printed.clone()))?;
                    each(events, &printed, writes, |line| deliver(&mut watcher, line))
                }
                "fresh" => {
                    let printed = Printed::new();
                    let guest = Machine::pooling()?.load(&component)?;
                    each(events, &printed, writes, |line| fresh(&guest, &printed, line))
                }
                _ => bail!("there is no loop `{kind}`"),
            }
        }
        _ => bail!("the arguments of a loop are its kind, the events, the guest and the output"),
    }
}

/// The number of calls of an event, and the size of the memory.
type Cost = (u64, u64);

fn deliver(watcher: &mut Watcher, line: &Line) -> Result<Cost> {
    let before = watcher.calls().total();
    watcher.set(&line.key, line.value.as_bytes())?;
    Ok((watcher.calls().total() - before, watcher.memory() as u64))
}

fn fresh(guest: &Guest, printed: &Printed, line: &Line) -> Result<Cost> {
    deliver(&mut guest.start_printing(Some(printed.clone()))?, line)
}

/// Calls `event` with each event of a file.
fn each(events: &str, printed: &Printed, writes: Writes, mut event: impl FnMut(&Line) -> Result<Cost>) -> Result<()> {
    let mut events = BufReader::with_capacity(64 * 1024, File::open(events)?);
    let (mut text, mut number) = (Vec::new(), 0);
    while events.read_until(b'\n', &mut text)? > 0 {
        let line: Line = serde_json::from_slice(&text)?;
        number += 1;
        let begun = Instant::now();
        let (calls, peak_memory) = event(&line)?;
        if writes == Writes::Json {
            let nanoseconds = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let report = Report {
                version: 1,
                event: number,
                op: line.op,
                key: &line.key,
                handled: true,
                violations: [],
                values: [],
                changes: [],
                stdout: "",
                stderr: "",
                calls,
                nanoseconds,
                peak_memory,
            };
            let mut out = printed.lock();
            serde_json::to_writer(&mut *out, &report)?;
            out.write_all(b"\n")?;
        }
        text.clear();
    }
    printed.lock().flush()?;
    Ok(())
}

/// Does the work of a guest without WebAssembly.
fn native(events: &str, work: &str) -> Result<()> {
    let printed = Printed::new();
    let mut sum = 0;
    each(events, &printed, Writes::Printed, |line| {
        match work {
            "sums" => sum = black_box(sum::add(sum, line.value.as_bytes())),
            "prints" => writeln!(printed.lock(), "{}", line.key)?,
            _ => bail!("there is no work `{work}`"),
        }
        Ok((0, 0))
    })
}
