//! Processes that die: at every step of an event, under load, and again and again at one event.

use super::{LONG, consumer, drained, pause, put, put_many, setup, tests};
use crate::record::{self, Failure, check, wait_for};
use crate::watcher::{Process, Step};

tests!(
    d1_death_at_every_step_of_an_event_loses_nothing,
    d2_key_keeps_its_order_when_the_process_dies_in_its_event_and_later_ones_wait,
    d1_shared_process_killed_under_load_loses_nothing,
    d2_order_holds_while_processes_are_killed_under_load,
    d3_poisoned_key_among_a_thousand_becomes_a_dead_letter,
);

async fn d2_order_holds_while_processes_are_killed_under_load() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 3;
    let mut processes = [Process::start(&options)?, Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(async move {
        for number in 0..4000 {
            put(&context, &format!("k{}", number % 40), &number.to_string()).await?;
            if number % 4 == 0 {
                pause(5).await;
            }
        }
        Ok::<_, Failure>(())
    });
    for round in 0..6 {
        pause(2500).await;
        let victim = &mut processes[round % 3];
        victim.kill()?;
        *victim = Process::start(&options)?;
    }
    load.await??;
    wait_for(folder.path(), 4000, LONG).await?;
    check(folder.path(), 4000, &[])
}

async fn d3_poisoned_key_among_a_thousand_becomes_a_dead_letter() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    put_many(&context, 500, 500).await?;
    let poison = put(&context, "bad", "poison").await?;
    put_many(&context, 499, 499).await?;
    let mut deaths = 0;
    let mut process = Process::start(&options)?;
    while record::done(folder.path()).len() < 1000 {
        if process.has_ended()?.is_some() {
            deaths += 1;
            if deaths > 10 {
                return Err("the event kills the process for ever".into());
            }
            process = Process::start(&options)?;
        }
        pause(50).await;
    }
    if record::letters(folder.path()) != [poison] {
        return Err(format!("dead letters: {:?}, and {poison} is the bad one", record::letters(folder.path())).into());
    }
    check(folder.path(), 1000, &[])
}

async fn d1_death_at_every_step_of_an_event_loses_nothing() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    for (step, count) in [
        (Some(Step::Received), 1),
        (Some(Step::Received), 7),
        (None, 0),
        (Some(Step::Returned), 1),
        (Some(Step::Returned), 7),
        (Some(Step::Acknowledged), 1),
        (Some(Step::Acknowledged), 7),
    ] {
        put_many(&context, 3, 5).await?;
        // Without a step of the source, the process dies in the handler.
        put(&context, "k1", if step.is_none() { "poison" } else { "good" }).await?;
        put_many(&context, 3, 9).await?;
        options.die = step.map(|step| (step, count));
        options.poison = "poison".into();
        if Process::start(&options)?.end().await? == 0 {
            return Err(format!("the process did not die at {step:?}").into());
        }
        options.die = None;
        options.poison = "never".into();
        let _healthy = Process::start(&options)?;
        drained(&context, folder.path(), LONG).await?;
    }
    if !record::letters(folder.path()).is_empty() {
        return Err(format!("innocent events became dead letters: {:?}", record::letters(folder.path())).into());
    }
    check(folder.path(), 7 * 15, &[])
}

/// Some later events are in hand of the process that dies, and others were never delivered.
async fn d2_key_keeps_its_order_when_the_process_dies_in_its_event_and_later_ones_wait() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.max_ack_pending = 12;
    options.poison = "poison".into();
    for number in 1..=60 {
        let value = if number % 20 == 5 { "poison" } else { "good" };
        put(&context, if number % 3 == 0 { "other" } else { "key" }, value).await?;
    }
    let mut processes = vec![Process::start(&options)?, Process::start(&options)?];
    // Each of the three bad events kills two processes, and is handled by the third.
    for bad in [5, 25, 45] {
        let died = record::read(folder.path()).iter().filter(|line| line.sequence == bad).count();
        let mut deaths = 0;
        let begun = std::time::Instant::now();
        while deaths < 2 {
            for process in &mut processes {
                if process.has_ended()?.is_some() {
                    deaths += 1;
                    *process = Process::start(&options)?;
                }
            }
            if begun.elapsed() > LONG {
                return Err(
                    format!("{bad} (started {died} times) kills nobody\n{}", record::tail(folder.path())).into()
                );
            }
            pause(20).await;
        }
        for process in &mut processes {
            process.kill()?;
        }
        options.poison = "never".into();
        let mut healthy = Process::start(&options)?;
        while !record::done(folder.path()).contains(&bad) {
            if begun.elapsed() > LONG {
                return Err(format!("{bad} is not handled\n{}", record::tail(folder.path())).into());
            }
            pause(20).await;
        }
        healthy.kill()?;
        options.poison = "poison".into();
        processes = vec![Process::start(&options)?, Process::start(&options)?];
        if record::done(folder.path()).len() == 60 {
            break;
        }
    }
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), 60, &[])
}

async fn d1_shared_process_killed_under_load_loses_nothing() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.shared = true;
    options.work = 3;
    options.max_ack_pending = 50;
    let mut processes = [Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(super::put_steadily(context.clone(), 40, 2000, 3));
    for (round, at) in [300, 700, 1100].into_iter().enumerate() {
        wait_for(folder.path(), at, LONG).await?;
        let victim = &mut processes[round % 2];
        victim.kill()?;
        pause(500).await;
        *victim = Process::start(&options)?;
    }
    load.await??;
    drained(&context, folder.path(), LONG).await?;
    let lines = record::read(folder.path());
    let worked = lines.iter().map(|line| line.process).collect::<std::collections::BTreeSet<_>>();
    if worked.len() < 4 || consumer(&context).await?.num_ack_pending != 0 {
        return Err(format!("these processes worked: {worked:?}").into());
    }
    // There is no order across processes, so only the loss is checked.
    let done = record::done(folder.path());
    let missing: Vec<u64> = (1..=2000).filter(|sequence| !done.contains(sequence)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("lost: {missing:?}").into()) }
}
