//! Measures `kvwatch serve` on a real `nats-server`, and compares it with simpler programs that do the same work.
//!
//! `cargo run --bin bench -- serve` builds this program and runs it. Its arguments are the paths of kvwatch, the
//! watcher and the plot. The names of parts may follow: `rates`, `latency`, `backlog`. To run a rival, the program
//! starts itself with the argument `consume`.

mod backlog;
mod contender;
mod latency;
mod plot;
mod process;
mod rate;
mod rival;
mod server;

use std::path::PathBuf;

use contender::{Contender, Programs};
use rate::Run;
use server::Server;
use wasmtime::error::Context as _;
use wasmtime::{Result, bail};

/// The sizes of payloads in bytes, and the number of events in a backlog of each size.
const PAYLOADS: [(usize, u64); 5] =
    [(100, 40_000), (1_000, 40_000), (10_000, 10_000), (100_000, 2_000), (1_000_000, 300)];
/// Each rate is the median of this number of runs. All contenders have their first run before any has its second.
const ROUNDS: usize = 3;
/// If this variable is set, there is one round with a tenth of the events. It is for trying the benchmark, not for figures.
const QUICK: &str = "KVWATCH_QUICK";
/// The goal for the ratio of the rates: kvwatch with one worker to the bare consumer.
const GOAL: f64 = 0.7;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments[..] {
        [rival::COMMAND, work, url, bucket, name, watcher] => {
            runtime.block_on(rival::consume(work.parse()?, url, bucket, name, watcher.as_ref()))
        }
        [kvwatch, watcher, plot, ref parts @ ..] => {
            let programs = Programs { kvwatch: kvwatch.into(), watcher: watcher.into() };
            runtime.block_on(measure(&programs, plot.into(), parts))
        }
        _ => bail!("this program is a part of the benchmarks: `cargo run --bin bench -- serve` builds and runs it"),
    }
}

async fn measure(programs: &Programs, plot: PathBuf, parts: &[&str]) -> Result<()> {
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    if wanted("rates") {
        println!("Events per second, the median of {} runs:\n", rounds());
        let rates = rates(programs).await?;
        println!("\nThe ratio is that of kvwatch with one worker to the bare consumer. The goal is {GOAL}.\n");
        println!(
            "CPU time of an event in microseconds, in the program and in the system, the median of the same runs:\n"
        );
        println!("{}", cpu_times(&rates));
        plot::draw(&plot, &rates).with_context(|| format!("cannot draw {}", plot.display()))?;
        println!("The plot is in {}.\n", plot.display());
    }
    if wanted("latency") {
        println!("{}", latency::measure(programs).await?);
    }
    if wanted("backlog") {
        println!("{}", backlog::measure(programs).await?);
    }
    Ok(())
}

/// The results for one size of payloads, in the order of [`Contender::ALL`].
pub(crate) struct Rates {
    pub(crate) payload: usize,
    pub(crate) events_per_second: Vec<f64>,
    cpu_micros: Vec<f64>,
}

fn is_quick() -> bool {
    std::env::var_os(QUICK).is_some()
}

fn rounds() -> usize {
    if is_quick() { 1 } else { ROUNDS }
}

/// This number of events, or a tenth of it if [`QUICK`] is set.
pub(crate) fn shortened(events: u64) -> u64 {
    if is_quick() { events / 10 } else { events }
}

/// Measures all contenders. Prints a table with a line for each size of payloads.
async fn rates(programs: &Programs) -> Result<Vec<Rates>> {
    let names = Contender::ALL.map(Contender::name).join(" | ");
    println!("| payload | {names} | ratio |\n|---|{}", "---:|".repeat(Contender::ALL.len() + 1));
    let mut all = Vec::new();
    for (payload, events) in PAYLOADS {
        let events = shortened(events);
        // Each size has a new server, so that no figure depends on earlier runs.
        let server = Server::start().await?;
        let context = server.bucket("b").await?;
        server::fill(&context, "b", payload, 0..events).await?;
        let mut runs = vec![Vec::new(); Contender::ALL.len()];
        for _ in 0..rounds() {
            for (runs, contender) in runs.iter_mut().zip(Contender::ALL) {
                let run = rate::measure(&server, &context, contender, programs, events).await;
                runs.push(run.with_context(|| contender.name())?);
            }
        }
        let rates = Rates {
            payload,
            events_per_second: runs.iter().map(|runs| median(runs, |run| run.events_per_second)).collect(),
            cpu_micros: runs.iter().map(|runs| median(runs, |run| run.cpu_micros)).collect(),
        };
        println!("{}", line(&rates));
        all.push(rates);
    }
    Ok(all)
}

fn line(Rates { payload, events_per_second, .. }: &Rates) -> String {
    let rate = |of: Contender| {
        let index = Contender::ALL.iter().position(|contender| *contender == of);
        index.map_or(f64::NAN, |index| events_per_second[index])
    };
    let ratio = rate(Contender::Kvwatch(1)) / rate(Contender::Bare);
    let missed = if ratio < GOAL { ", missed" } else { "" };
    let figures: Vec<_> = events_per_second.iter().map(|rate| format!("{rate:.0}")).collect();
    format!("| {} | {} | {ratio:.2}{missed} |", size(*payload), figures.join(" | "))
}

/// A table of the CPU times, with a line for each size of payloads.
fn cpu_times(rates: &[Rates]) -> String {
    let names = Contender::ALL.map(Contender::name).join(" | ");
    let mut lines = vec![format!("| payload | {names} |\n|---|{}", "---:|".repeat(Contender::ALL.len()))];
    for Rates { payload, cpu_micros, .. } in rates {
        let figures: Vec<_> = cpu_micros.iter().map(|micros| format!("{micros:.0}")).collect();
        lines.push(format!("| {} | {} |", size(*payload), figures.join(" | ")));
    }
    lines.join("\n")
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut figures: Vec<f64> = runs.iter().map(of).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The size of a payload as text.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        1_000_000.. => format!("{} MB", bytes / 1_000_000),
        1_000.. => format!("{} kB", bytes / 1_000),
        _ => format!("{bytes} B"),
    }
}
