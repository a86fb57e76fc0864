//! Servers that are killed: one alone, and the leader of three.

use std::collections::HashSet;
use std::time::Duration;

use super::{LONG, drained, last, pause, put_many, put_steadily, put_values, setup, tests};
use crate::nats_server::Cluster;
use crate::record::{self, Failure, check, wait_for};
use crate::watcher::{Options, Process};

tests!(
    d5_three_processes_go_on_after_several_server_restarts_under_load,
    d5_three_processes_go_on_when_the_leader_of_three_servers_is_killed,
    d1_server_killed_while_handlers_are_busy_loses_nothing,
    server_killed_with_an_empty_bucket,
    d1_server_that_forgot_deliveries_and_acks_does_not_stop_the_key,
    d1_server_with_older_data_delivers_what_comes_after,
);

async fn d5_three_processes_go_on_after_several_server_restarts_under_load() -> Result<(), Failure> {
    let (mut server, context, folder, mut options) = setup().await?;
    options.work = 3;
    let _processes = [Process::start(&options)?, Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(put_steadily(context.clone(), 40, 6000, 3));
    for (restart, down) in [0, 300, 3000, 50, 1000, 0].into_iter().enumerate() {
        // The first restarts come while the processes work, the later ones soon after the one before.
        if restart < 3 {
            let so_far = last(&context).await?;
            wait_for(folder.path(), usize::try_from(so_far)? + 100, LONG).await?;
        } else {
            pause(700).await;
        }
        server.restart(Duration::from_millis(down)).await?;
    }
    load.await??;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), last(&context).await?, &[])
}

async fn d5_three_processes_go_on_when_the_leader_of_three_servers_is_killed() -> Result<(), Failure> {
    let mut cluster = Cluster::start().await?;
    let context = cluster.bucket("b").await?;
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&cluster.url(), "b", folder.path());
    options.work = 3;
    let _processes = [Process::start(&options)?, Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(put_steadily(context.clone(), 40, 2500, 3));
    for kill in 1..=3 {
        wait_for(folder.path(), kill * 400, LONG).await?;
        let killed = cluster.kill_leader(&context, "b").await?;
        pause(2000).await;
        killed.start_again().await?;
    }
    load.await??;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), last(&context).await?, &[])
}

async fn d1_server_killed_while_handlers_are_busy_loses_nothing() -> Result<(), Failure> {
    let (mut server, context, folder, mut options) = setup().await?;
    options.work = 20;
    put_many(&context, 20, 600).await?;
    let _process = Process::start(&options)?;
    for restart in 1..=3 {
        wait_for(folder.path(), restart * 100, LONG).await?;
        server.restart(Duration::from_millis(500)).await?;
    }
    wait_for(folder.path(), 600, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), 600, &[])
}

async fn server_killed_with_an_empty_bucket() -> Result<(), Failure> {
    let (mut server, context, folder, options) = setup().await?;
    let _processes = [Process::start(&options)?, Process::start(&options)?];
    while super::consumer(&context).await.is_err() {
        pause(50).await;
    }
    for down in [0, 2500, 100] {
        server.restart(Duration::from_millis(down)).await?;
        pause(500).await;
    }
    put_many(&context, 5, 20).await?;
    wait_for(folder.path(), 20, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), 20, &[])
}

/// A server writes its record of a consumer some time after the change. If it is killed, it forgets the last deliveries and acks.
/// It ignores the ack of an event whose delivery it has forgotten.
async fn d1_server_that_forgot_deliveries_and_acks_does_not_stop_the_key() -> Result<(), Failure> {
    const LAST: u64 = 1000;
    let (mut server, context, folder, mut options) = setup().await?;
    options.work = 0;
    options.max_ack_pending = 50;
    put_many(&context, 1, LAST).await?;
    let _processes = [Process::start(&options)?, Process::start(&options)?];
    wait_for(folder.path(), 100, LONG).await?;
    let forgetful = server.consumer_record("b", "watcher")?;
    wait_for(folder.path(), 600, LONG).await?;
    server.kill()?;
    forgetful.restore()?;
    server.start_again().await?;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), LAST, &[])
}

/// After a restore, new events get the sequence numbers of events that the server has forgotten.
async fn d1_server_with_older_data_delivers_what_comes_after() -> Result<(), Failure> {
    let (mut server, context, folder, mut options) = setup().await?;
    options.work = 20;
    options.workers = 2;
    put_values(&context, 3, 100, |number| format!("kept-{number}")).await?;
    let _process = Process::start(&options)?;
    wait_for(folder.path(), 100, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    server.kill()?;
    let backup = server.backup()?;
    server.start_again().await?;
    put_values(&context, 3, 400, |number| format!("forgotten-{number}")).await?;
    wait_for(folder.path(), 150, LONG).await?;
    server.kill()?;
    server.restore(&backup)?;
    server.start_again().await?;
    put_values(&context, 3, 400, |number| format!("new-{number}")).await?;
    drained(&context, folder.path(), LONG).await?;
    let values: HashSet<String> =
        record::read(folder.path()).into_iter().filter(|line| line.end).map(|line| line.value).collect();
    let lost: Vec<String> = (0..400).map(|number| format!("new-{number}")).filter(|it| !values.contains(it)).collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}\n{}", record::tail(folder.path())).into()) }
}
