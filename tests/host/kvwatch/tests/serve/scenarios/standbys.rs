//! Several processes of one name: who works, who takes over, and how a process leaves.

use std::time::Duration;

use super::{LONG, consumer, drained, pause, put, put_many, setup, tests};
use crate::record::{self, Failure, check, wait_for};
use crate::watcher::Process;

tests!(
    d3_long_handler_keeps_its_event_with_in_progress_acks,
    d5_one_of_three_processes_works_and_a_standby_takes_over,
    d5_stopped_for_longer_than_the_ack_wait,
    d6_term_lets_a_busy_handler_finish_and_gives_back_the_rest,
);

async fn d5_one_of_three_processes_works_and_a_standby_takes_over() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    let mut processes = vec![Process::start(&options)?, Process::start(&options)?, Process::start(&options)?];
    pause(1500).await;
    put_many(&context, 10, 100).await?;
    wait_for(folder.path(), 100, LONG).await?;
    let workers = |from: usize| {
        let all = record::read(folder.path());
        all[from..].iter().map(|line| line.process).collect::<std::collections::BTreeSet<_>>()
    };
    let first = workers(0);
    if first.len() != 1 {
        return Err(format!("these processes worked at the same time: {first:?}").into());
    }
    let seen = record::read(folder.path()).len();
    processes.retain_mut(|process| !first.contains(&process.id()) || process.kill().is_err());
    put_many(&context, 10, 100).await?;
    wait_for(folder.path(), 200, LONG).await?;
    let second = workers(seen);
    if second.len() != 1 || second == first {
        return Err(format!("after {first:?} was killed, {second:?} worked").into());
    }
    check(folder.path(), 200, &[])
}

async fn d5_stopped_for_longer_than_the_ack_wait() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 5;
    let processes = [Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(async move {
        for number in 0..2000 {
            put(&context, &format!("k{}", number % 20), &number.to_string()).await?;
            pause(5).await;
        }
        Ok::<_, Failure>(())
    });
    for round in 0..3 {
        pause(1000).await;
        let process = &processes[round % 2];
        process.signal("-STOP")?;
        pause(5000).await;
        process.signal("-CONT")?;
    }
    load.await??;
    wait_for(folder.path(), 2000, LONG).await?;
    check(folder.path(), 2000, &[])
}

async fn d6_term_lets_a_busy_handler_finish_and_gives_back_the_rest() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 700;
    options.workers = 1;
    options.ack_wait = 20_000;
    put_many(&context, 5, 5).await?;
    let mut process = Process::start(&options)?;
    while record::read(folder.path()).is_empty() {
        pause(20).await;
    }
    process.signal("-TERM")?;
    let code = process.end().await?;
    let lines = record::read(folder.path());
    if code != 0 || lines.len() != 2 || !lines[1].end {
        return Err(format!("exit code {code}, {lines:?}").into());
    }
    // The ack wait is 20 s. If events were not given back, the next process would have no events for this time.
    options.work = 1;
    let _next = Process::start(&options)?;
    wait_for(folder.path(), 5, Duration::from_secs(10)).await?;
    if record::read(folder.path()).len() != 10 {
        return Err("an event came twice".into());
    }
    check(folder.path(), 5, &[])
}

async fn d3_long_handler_keeps_its_event_with_in_progress_acks() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.ack_wait = 4000;
    options.work = 9000;
    let _processes = [Process::start(&options)?, Process::start(&options)?];
    // The second event waits for the first one for longer than the ack wait.
    put(&context, "k", "1").await?;
    put(&context, "k", "2").await?;
    wait_for(folder.path(), 2, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    let deliveries = consumer(&context).await?.delivered.consumer_sequence;
    if deliveries != 2 || record::read(folder.path()).len() != 4 {
        return Err(format!("{deliveries} deliveries of 2 events: {:?}", record::read(folder.path())).into());
    }
    check(folder.path(), 2, &[])
}
