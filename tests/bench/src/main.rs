//! Prints the cost of a watcher as tables that compare both sides. Without arguments, the program runs the quick
//! groups, which only count. `--all` runs all groups except `serve` and `functions`, and takes some minutes. Names of
//! groups run these groups. Names of guests may follow `functions`, whose output is long.

use std::time::Duration;

use bench::counted::{
    ALLOCATIONS, COMPONENTS, EVENTS, Pair, Rivals, STEADY, STREAMING, allocations, bytes, growth, instructions,
    packages,
};
use bench::functions::{self, Functions};
use bench::guests::{self, Guests, Side};
use bench::host::{Machine, Watcher};
use bench::peers::{self, PEER};
use bench::program::{Doer, Programs, WORK};
use bench::served;
use bench::sizes::{self, Sizes};
use bench::table::{Goal, Row, Table};
use bench::timed::{self, STREAMED};
use bench::{growth, plot};
use wasm_targets::Target;
use wasmtime::{Result, bail};

/// The names of the groups and their help texts.
const GROUPS: [(&str, &str); 14] = [
    ("instructions", "instructions of an event, as wasmtime's fuel counts them"),
    ("bytes", "sizes of components"),
    ("packages", "packages that cargo compiles before a watcher"),
    ("allocations", "allocations in a thousand reads"),
    ("sizes", "bytes and instructions of each typical use, on each target (a minute)"),
    ("memory", "memory growth during a million events (slow)"),
    ("stream", "throughput and memory while 1 GiB is streamed (slow)"),
    ("build", "CPU time of a build into an empty folder (slow)"),
    ("kvwatch", "the library kvwatch, compared with bare wasmtime (slow)"),
    ("run", "`kvwatch run` from end to end, compared with a loop around bare wasmtime (slow)"),
    ("peers", "the same work in native code, bare wasmtime, kvwatch and Node (slow)"),
    ("growth", "cost by events, payload size and handles; also writes tests/bench/growth.svg (slow)"),
    (SERVE, "`kvwatch serve` compared with its rivals; not in `--all`, because it needs a nats-server (slow)"),
    (FUNCTIONS, "instructions and bytes by function; not in `--all`; must be last, because names of guests may follow"),
];

/// The group that needs a server.
const SERVE: &str = "serve";

/// The group that is followed by names of guests.
const FUNCTIONS: &str = "functions";

/// The number of quick groups at the start of [`GROUPS`]. They take seconds.
const QUICK: usize = 4;

fn main() -> Result<()> {
    let mut chosen: Vec<String> = std::env::args().skip(1).collect();
    if chosen.first().is_some_and(|first| first == PEER) {
        return peers::run(&chosen[1..]);
    }
    let shown = chosen.iter().position(|name| name == FUNCTIONS).map(|index| chosen.split_off(index).split_off(1));
    if let Some(unknown) = chosen.iter().find(|name| *name != "--all" && GROUPS.iter().all(|(group, _)| group != name))
    {
        let groups: Vec<_> = GROUPS.iter().map(|(name, what)| format!("  {name:12} {what}")).collect();
        bail!("there is no group `{unknown}`. Use `--all` or these groups:\n{}", groups.join("\n"));
    }
    let known = functions::known();
    if let Some(unknown) = shown.iter().flatten().find(|name| !known.contains(name.as_str())) {
        let known: Vec<_> = known.iter().map(|name| format!("  {name}")).collect();
        bail!("there is no guest `{unknown}` to show. Use these guests:\n{}", known.join("\n"));
    }
    let wanted = |group: &str| {
        let all = chosen.iter().any(|name| name == "--all");
        let quick = chosen.is_empty() && shown.is_none() && GROUPS[..QUICK].iter().any(|(name, _)| *name == group);
        all || quick || chosen.iter().any(|name| name == group)
    };

    let guests = Guests::of_both_sides()?;
    let mut table = Table::new("by hand", "with the SDK");
    if wanted("instructions") {
        table.extend(instruction_rows(&guests)?);
    }
    if wanted("bytes") {
        table.extend(byte_rows(&guests)?);
    }
    if wanted("packages") {
        table.extend([Row::counted("packages compiled before a watcher", packages(&guests), Goal::AtMost(11))]);
    }
    if wanted("allocations") {
        table.extend(allocation_rows(&guests)?);
    }
    if wanted("memory") {
        table.extend(memory_rows(&guests)?);
    }
    if wanted("stream") {
        table.extend(stream_rows(&guests)?);
    }
    if wanted("build") {
        table.extend([Row::effort("cold build of the README's watcher, CPU time", &timed::builds()?, 0.25)]);
    }
    if !table.is_empty() {
        println!("{table}");
    }

    if wanted("sizes") {
        for target in Target::ALL {
            println!("{}", Sizes::of(target)?);
        }
    }

    if wanted("kvwatch") {
        let mut table = Table::new("bare wasmtime", "kvwatch");
        let component = guests[1].get("sdk_sums")?;
        table.extend([
            Row::speed("7 B, instance kept", &timed::kept(component)?, each, 0.9),
            Row::speed("7 B, an instance an event, pooled", &timed::per_event(component)?, each, 0.9),
        ]);
        println!("{table}");
    }

    if ["run", "peers", "growth"].iter().any(|group| wanted(group)) {
        print_programs(wanted("run"), wanted("peers"), wanted("growth"))?;
    }
    if chosen.iter().any(|name| name == SERVE) {
        served::run(guests[1].get("sdk_sums")?)?;
    }

    if let Some(names) = shown {
        print_functions(&guests, &names)?;
    }
    Ok(())
}

fn print_programs(run: bool, peers: bool, growth: bool) -> Result<()> {
    let programs = Programs::build()?;
    if run {
        let mut table = Table::new("bare loop", "kvwatch run");
        for work in &WORK {
            let paired = programs.pair(work, Doer::Bare(Side::WithSdk), Doer::Kvwatch)?;
            table.extend([Row::speed(work.name, &paired, each, 0.7)]);
        }
        println!("{table}");
    }
    if peers {
        let mut table = Table::new("native", "peer");
        for (work, native) in WORK.iter().filter_map(|work| Some((work, work.native()?))) {
            for (name, peer) in [
                ("wasmtime, guest by hand", Doer::Bare(Side::ByHand)),
                ("wasmtime, guest with the SDK", Doer::Bare(Side::WithSdk)),
                ("kvwatch run", Doer::Kvwatch),
                ("jco in Node", Doer::Jco),
            ] {
                if peer != Doer::Jco || native == "sums" {
                    let paired = programs.pair(work, Doer::Native, peer)?;
                    table.extend([Row::compared(format!("{}: {name}", work.name), &paired, each)]);
                }
            }
        }
        println!("{table}");
    }
    if growth {
        let all = growth::all(&programs)?;
        for growth in &all {
            println!("{growth}");
        }
        std::fs::write(guests::root().join("tests/bench/growth.svg"), plot::svg(&all))?;
    }
    Ok(())
}

/// Prints the functions of the guests with these names and of their rivals. Without names, prints those of all guests.
fn print_functions(guests: &[Guests; 2], names: &[String]) -> Result<()> {
    let functions = Functions::new(guests)?;
    let shown = |rivals: &Rivals| {
        names.is_empty() || rivals.guests().iter().any(|guest| names.iter().any(|name| name == guest))
    };
    for case in EVENTS.iter().chain(sizes::additional()).filter(|case| shown(&case.rivals)) {
        println!("{}", functions.instructions(case)?);
    }
    let rivals = COMPONENTS.iter().chain(sizes::additional().map(|case| &case.rivals));
    for rivals in rivals.filter(|rivals| shown(rivals)) {
        println!("{}", functions.bytes(rivals)?);
    }
    Ok(())
}

fn instruction_rows(guests: &[Guests; 2]) -> Result<Vec<Row>> {
    let machine = Machine::counting()?;
    let rows = EVENTS.iter().map(|case| {
        let pair = instructions(&machine, guests, case)?;
        Ok(Row::counted(format!("instructions, {}", case.rivals.name), pair, Goal::RatioAtMost(1.0)))
    });
    rows.collect()
}

fn byte_rows(guests: &[Guests; 2]) -> Result<Vec<Row>> {
    let rows = COMPONENTS.iter().map(|rivals| {
        let goal = match rivals.name {
            "the least watcher" | "the least that reads" | "the least that reads text" => Goal::RatioAtMost(1.0),
            "the README's" => Goal::RatioAtMost(1.1),
            "sums up through `BufRead`" => Goal::RatioAtMost(1.2),
            "`get` and `set`" | "`increment`" | "`get-many`" => Goal::RatioAtMost(1.15),
            _ => Goal::None,
        };
        Ok(Row::counted(format!("bytes, {}", rivals.name), bytes(guests, rivals)?, goal))
    });
    rows.collect()
}

fn allocation_rows(guests: &[Guests; 2]) -> Result<Vec<Row>> {
    let machine = Machine::fast()?;
    let rows = ALLOCATIONS.iter().map(|rivals| {
        let goal = if rivals.name.starts_with("`Read`") { Goal::AtMost(0) } else { Goal::RatioAtMost(1.0) };
        let pair = allocations(&machine, guests, rivals)?;
        Ok(Row::counted(format!("allocations in 1 000 reads, {}", rivals.name), pair, goal))
    });
    rows.collect()
}

fn memory_rows(guests: &[Guests; 2]) -> Result<Vec<Row>> {
    let machine = Machine::fast()?;
    let rows = STEADY.iter().map(|rivals| {
        let pair = growth(&machine, guests, rivals, 1_000_000)?;
        Ok(Row::counted(format!("bytes grown, 1 000 000 events, {}", rivals.name), pair, Goal::AtMost(0)))
    });
    rows.collect()
}

fn stream_rows(guests: &[Guests; 2]) -> Result<Vec<Row>> {
    let machine = Machine::fast()?;
    let mut rows = Vec::new();
    for (rivals, buffer) in STREAMING {
        let mut watchers = rivals.start(&machine, guests)?;
        let before = watchers.each_ref().map(Watcher::memory);
        let [by_hand, with_sdk] = &mut watchers;
        let paired = timed::streaming(by_hand, with_sdk)?;
        rows.push(Row::speed(format!("1 GiB streamed, {}", rivals.name), &paired, throughput, 1.0));
        let beyond = |side: usize| (watchers[side].memory() - before[side]).saturating_sub(*buffer) as u64;
        let beyond = Pair { by_hand: beyond(0), with_sdk: beyond(1) };
        rows.push(Row::counted(format!("bytes beyond the buffer, {}", rivals.name), beyond, Goal::AtMost(1 << 20)));
    }
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "1 GiB is exact")]
fn throughput(time: Duration) -> String {
    format!("{:.1} GB/s", STREAMED as f64 / time.as_secs_f64() / 1e9)
}

fn each(time: Duration) -> String {
    format!("{:.2} µs", time.as_secs_f64() * 1e6)
}
