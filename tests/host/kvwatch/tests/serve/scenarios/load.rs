//! Many events and many keys.

use std::time::Duration;

use super::{LONG, consumer, drained, pause, put_values, setup, tests};
use crate::nats_server::Server;
use crate::record::{Failure, check};
use crate::watcher::{Options, Process, Start};

tests!(
    d7_no_more_is_fetched_than_may_be_in_hand,
    backlog_of_many_events_needs_no_more_memory,
    server_killed_with_many_keys,
);

/// The number of events in the backlog. A million takes minutes.
fn backlog() -> Result<u64, Failure> {
    Ok(std::env::var("KVWATCH_BACKLOG").map_or(Ok(100_000), |count| count.parse())?)
}

/// D7: memory does not grow with the backlog.
async fn backlog_of_many_events_needs_no_more_memory() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    let count = backlog()?;
    options.work = 0;
    options.record = false;
    let value = "x".repeat(200);
    put_values(&context, count / 10, count, |_| value.clone()).await?;
    let mut process = Process::start(&options)?;
    let mut early = None;
    let begun = std::time::Instant::now();
    loop {
        if let Ok(info) = consumer(&context).await {
            let done = info.ack_floor.stream_sequence;
            if early.is_none() && done >= count / 10 {
                early = Some((process.peak_memory()?, done));
            }
            if done == count && info.num_ack_pending == 0 {
                break;
            }
            if begun.elapsed() > LONG * 5 {
                return Err(format!("{done} of {count} events are done\n{}", crate::record::tail(folder.path())).into());
            }
        }
        pause(50).await;
    }
    let took = begun.elapsed();
    let (early, done) = early.ok_or("nothing was seen of the beginning")?;
    let late = process.peak_memory()?;
    println!("{count} events in {took:?}: peak {early} KiB after {done} events, {late} KiB at the end");
    process.signal("-TERM")?;
    process.end().await?;
    let log = std::fs::read_to_string(folder.path().join("log"))?;
    if !log.contains(&format!("handled: {count},")) {
        return Err(format!("not {count} events were handled\n{}", crate::record::tail(folder.path())).into());
    }
    // A tenth of the backlog's values would be 2 MB for the smallest backlog; all of it is ten times as much.
    if late > early + 8 * 1024 {
        return Err(format!("the peak was {early} KiB after {done} events and {late} KiB after {count}").into());
    }
    Ok(())
}

async fn server_killed_with_many_keys() -> Result<(), Failure> {
    const KEYS: u64 = 100_000;
    let mut server = Server::start().await?;
    let context = server.bucket("b", 1).await?;
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&server.url(), "b", folder.path());
    options.work = 0;
    options.since = Start::Last;
    put_values(&context, KEYS, KEYS, |number| number.to_string()).await?;
    let _processes = [Process::start(&options)?, Process::start(&options)?];
    for share in [10, 3] {
        let begun = std::time::Instant::now();
        while consumer(&context).await.map_or(0, |info| info.ack_floor.stream_sequence) < KEYS / share {
            if begun.elapsed() > LONG {
                return Err(format!("nothing goes on\n{}", crate::record::tail(folder.path())).into());
            }
            pause(50).await;
        }
        server.restart(Duration::from_millis(300)).await?;
    }
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), KEYS, &[])
}

async fn d7_no_more_is_fetched_than_may_be_in_hand() -> Result<(), Failure> {
    const MOST: usize = 20;
    let (_server, context, folder, mut options) = setup().await?;
    options.max_ack_pending = 20;
    options.workers = 1;
    options.work = 600_000;
    let value = "x".repeat(500_000);
    put_values(&context, 200, 200, |_| value.clone()).await?;
    let process = Process::start(&options)?;
    let begun = std::time::Instant::now();
    while consumer(&context).await.map_or(0, |info| info.num_ack_pending) < MOST {
        if begun.elapsed() > LONG {
            return Err(format!("the events do not come\n{}", crate::record::tail(folder.path())).into());
        }
        pause(50).await;
    }
    pause(2000).await;
    let pending = consumer(&context).await?.num_ack_pending;
    let peak = process.peak_memory()?;
    // All values together are 98 MiB.
    if pending != MOST || peak > 70 * 1024 {
        return Err(format!("{pending} events are in hand, and the process had {peak} KiB").into());
    }
    Ok(())
}
