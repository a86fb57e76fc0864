//! Random schedules: puts and deletes, while processes, the server and the network fail in a random order.
//!
//! `KVWATCH_SEEDS=7` runs one schedule, `KVWATCH_SEEDS=1..21` runs many. A failure prints its seed and its steps. A seed decides
//! which faults happen and for how long. The exact time of each step of a process depends on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use fastrand::Rng;

use super::{LONG, drained, last, pause, setup, tests};
use crate::nats_server::Server;
use crate::proxy::{Fault, Proxy};
use crate::record::{self, Failure, check_order, tail};
use crate::watcher::{Options, Process};

tests!(d1_d2_d4_hold_for_random_schedules_on_a_real_server,);

const PROCESSES: usize = 3;
const KEYS: u64 = 12;
/// Steps of a schedule. With the end, it takes about half a minute.
const STEPS: usize = 14;
/// With more deaths, many innocent events would become dead letters, which rule D3 allows.
const MOST_KILLS: usize = 4;

async fn d1_d2_d4_hold_for_random_schedules_on_a_real_server() -> Result<(), Failure> {
    for seed in seeds()? {
        println!("random schedule with KVWATCH_SEEDS={seed}");
        let mut steps = Vec::new();
        if let Err(cause) = schedule(seed, &mut steps).await {
            return Err(format!("KVWATCH_SEEDS={seed}: {cause}\nthe steps were:\n{}", steps.join("\n")).into());
        }
    }
    Ok(())
}

fn seeds() -> Result<Range<u64>, Failure> {
    let Ok(text) = std::env::var("KVWATCH_SEEDS") else {
        let seed = fastrand::u64(0..1 << 32);
        return Ok(seed..seed + 1);
    };
    let (first, end) = match text.split_once("..") {
        Some((first, end)) => (first.parse()?, end.parse()?),
        None => (text.parse()?, text.parse::<u64>()? + 1),
    };
    Ok(first..end)
}

/// One process, with a network of its own.
struct Slot {
    proxy: Proxy,
    options: Options,
    process: Process,
}

async fn schedule(seed: u64, steps: &mut Vec<String>) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let (mut server, context, folder, mut options) = setup().await?;
    let folder = folder.path();
    options.shared = rng.u8(..5) == 0;
    options.workers = rng.usize(1..6);
    options.work = rng.u64(0..8);
    options.max_ack_pending = rng.u32(5..200);
    steps.push(format!(
        "shared {}, {} workers, {} ms of work, {} in hand",
        options.shared, options.workers, options.work, options.max_ack_pending
    ));
    let mut slots = Vec::new();
    for _ in 0..PROCESSES {
        let proxy = Proxy::to(server.port).await?;
        let options = Options { url: proxy.url(), wait: true, ..options.clone() };
        let process = Process::start(&options)?;
        slots.push(Slot { proxy, options, process });
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(put_at_random(context.clone(), rng.fork(), stopped));
    let mut kills = 0;
    for _ in 0..STEPS {
        pause(rng.u64(100..900)).await;
        step(&mut rng, &mut server, &mut slots, &mut kills, steps).await?;
    }
    for slot in &mut slots {
        slot.proxy.set(Fault::None);
    }
    stop.send_replace(true);
    load.await??;
    drained(&context, folder, LONG).await?;
    verify(&context, folder, options.shared).await
}

async fn step(
    rng: &mut Rng,
    server: &mut Server,
    slots: &mut [Slot],
    kills: &mut usize,
    steps: &mut Vec<String>,
) -> Result<(), Failure> {
    let number = rng.usize(..slots.len());
    let millis = rng.u64(200..4000);
    let slot = &mut slots[number];
    match rng.u8(..12) {
        0..=2 if *kills < MOST_KILLS => {
            *kills += 1;
            steps.push(format!("kill -9 of process {number}; a new one after {} ms", millis / 4));
            slot.process.kill()?;
            pause(millis / 4).await;
            slot.process = Process::start(&slot.options)?;
        }
        3 | 4 => {
            steps.push(format!("SIGTERM to process {number}; a new one when it ended"));
            slot.process.signal("-TERM")?;
            let code = slot.process.end().await?;
            if code != 0 {
                return Err(format!("process {number} ended with {code} after SIGTERM").into());
            }
            slot.process = Process::start(&slot.options)?;
        }
        5 | 6 => {
            steps.push(format!("SIGSTOP of process {number} for {millis} ms"));
            slot.process.signal("-STOP")?;
            pause(millis).await;
            slot.process.signal("-CONT")?;
        }
        7 | 8 => {
            steps.push(format!("kill -9 of the server; it is back after {} ms", millis / 2));
            server.restart(std::time::Duration::from_millis(millis / 2)).await?;
        }
        _ => {
            let fault = match rng.u8(..4) {
                0 => Fault::Refuse,
                1 => Fault::Silent,
                2 => Fault::Slow,
                _ => Fault::CutAfter(rng.usize(1..20_000)),
            };
            steps.push(format!("the network of process {number} is {fault:?} for {millis} ms"));
            slot.proxy.set(fault);
            pause(millis).await;
            slot.proxy.set(Fault::None);
        }
    }
    Ok(())
}

/// Puts and deletes until it is stopped. Each is sent again until the server confirms it, so it may be in the bucket twice.
async fn put_at_random(
    context: Context,
    mut rng: Rng,
    stopped: tokio::sync::watch::Receiver<bool>,
) -> Result<(), Failure> {
    for number in 0.. {
        if *stopped.borrow() {
            break;
        }
        let key = format!("$KV.b.k{}", rng.u64(..KEYS));
        let mut headers = HeaderMap::new();
        let value = match rng.u8(..100) {
            0 => format!("trap-{number}"),
            1..=10 => {
                headers.insert("KV-Operation", if rng.bool() { "DEL" } else { "PURGE" });
                String::new()
            }
            _ => number.to_string(),
        };
        let begun = Instant::now();
        loop {
            let sent = context.publish_with_headers(key.clone(), headers.clone(), value.clone().into()).await;
            let confirmed = match sent {
                Ok(sent) => sent.await,
                Err(cause) => Err(cause),
            };
            match confirmed {
                Ok(_) => break,
                Err(cause) if begun.elapsed() > LONG => return Err(cause.into()),
                Err(_) => pause(50).await,
            }
        }
        pause(rng.u64(2..15)).await;
    }
    Ok(())
}

/// Compares the output of the handlers with the bucket.
async fn verify(context: &Context, folder: &Path, shared: bool) -> Result<(), Failure> {
    let stream = context.get_stream("KV_b").await?;
    let count = last(context).await?;
    let mut due = BTreeMap::new();
    for sequence in 1..=count {
        let message = stream.get_raw_message(sequence).await?;
        let key = message.subject.strip_prefix("$KV.b.").ok_or("a key without its bucket")?.to_owned();
        let deleted = message.headers.get("KV-Operation").is_some();
        let value = if deleted { "deleted".into() } else { String::from_utf8_lossy(&message.payload).into_owned() };
        due.insert(sequence, (key, value));
    }
    // A handler got the value that the store has.
    for line in record::read(folder) {
        let (key, value) = due.get(&line.sequence).ok_or_else(|| format!("{line:?} is not in the bucket"))?;
        if (key, value) != (&line.key, &line.value) {
            return Err(format!("{line:?}, and the bucket has {key} {value}").into());
        }
    }
    let letters: BTreeSet<u64> = record::letters(folder).into_iter().collect();
    let done: BTreeSet<u64> = record::read(folder).iter().filter(|it| it.end).map(|it| it.sequence).collect();
    let lost: Vec<&u64> = due.keys().filter(|it| !done.contains(it) && !letters.contains(it)).collect();
    let traps: BTreeSet<u64> = due.iter().filter(|(_, (_, it))| it.starts_with("trap")).map(|it| *it.0).collect();
    // If the faults hit one event too often, kvwatch may judge that it ends processes. It is not lost: it is a dead letter.
    let suspected = record::suspected(folder);
    let innocent: BTreeSet<u64> = letters.difference(&traps).copied().collect();
    if !lost.is_empty() || !traps.is_subset(&letters) || !innocent.is_subset(&suspected) {
        return Err(format!(
            "of {count} events {lost:?} are lost; dead letters {letters:?}, and {traps:?} are due\n{}",
            tail(folder)
        )
        .into());
    }
    let twice = record::read(folder).iter().filter(|it| it.end).count() - done.len();
    println!(
        "{count} events, {} dead letters, {} of them suspected, {twice} handled more than once",
        letters.len(),
        suspected.len()
    );
    if shared { Ok(()) } else { check_order(folder) }
}
