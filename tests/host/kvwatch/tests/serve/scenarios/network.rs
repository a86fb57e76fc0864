//! A network that is slow, refuses, is silent, or cuts a connection in the middle of a message.

use super::{LONG, drained, pause, put_many, put_values, setup, tests};
use crate::proxy::{Fault, Proxy};
use crate::record::{Failure, check, done, read, tail, wait_for};
use crate::watcher::Process;

tests!(
    d5_nothing_starts_while_the_connection_is_lost,
    network_that_is_slow_refuses_and_is_silent_loses_nothing,
    connection_cut_in_the_middle_of_messages_loses_nothing,
    server_that_refuses_at_the_start_is_waited_for,
    server_does_not_cut_off_a_slow_reader_of_large_values,
);

async fn network_that_is_slow_refuses_and_is_silent_loses_nothing() -> Result<(), Failure> {
    let (server, context, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    options.url = proxy.url();
    options.work = 5;
    put_many(&context, 20, 2000).await?;
    let _process = Process::start(&options)?;
    // Each fault lasts longer than the ack wait.
    for (at, fault) in [(100, Fault::Slow), (400, Fault::Refuse), (800, Fault::Silent), (1200, Fault::Refuse)] {
        wait_for(folder.path(), at, LONG).await?;
        proxy.set(fault);
        pause(5000).await;
        proxy.set(Fault::None);
    }
    wait_for(folder.path(), 2000, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), 2000, &[])
}

async fn connection_cut_in_the_middle_of_messages_loses_nothing() -> Result<(), Failure> {
    let (server, context, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    options.url = proxy.url();
    // Almost every byte of the server belongs to a value, so almost every cut is in the middle of one.
    put_values(&context, 10, 200, |number| format!("{number} {}", "x".repeat(100_000))).await?;
    let _process = Process::start(&options)?;
    for most in [150_000, 30_000, 777_777, 5, 400_001] {
        proxy.set(Fault::CutAfter(most));
        let so_far = done(folder.path()).len();
        pause(1500).await;
        proxy.set(Fault::None);
        wait_for(folder.path(), (so_far + 10).min(200), LONG).await?;
    }
    wait_for(folder.path(), 200, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), 200, &[])
}

async fn server_that_refuses_at_the_start_is_waited_for() -> Result<(), Failure> {
    let (server, context, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    proxy.set(Fault::Refuse);
    options.url = proxy.url();
    let code = Process::start(&options)?.end().await?;
    if code != 4 {
        return Err(format!("exit code {code}\n{}", crate::record::tail(folder.path())).into());
    }
    options.wait = true;
    let _process = Process::start(&options)?;
    put_many(&context, 5, 20).await?;
    pause(1000).await;
    proxy.set(Fault::None);
    wait_for(folder.path(), 20, LONG).await?;
    check(folder.path(), 20, &[])
}

/// Another process may have taken over. Then the events in hand belong to it.
async fn d5_nothing_starts_while_the_connection_is_lost() -> Result<(), Failure> {
    let (server, context, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    options.url = proxy.url();
    options.work = 50;
    options.workers = 1;
    // Each event has a key of its own, so none waits for the ack of another.
    put_many(&context, 300, 300).await?;
    let _process = Process::start(&options)?;
    wait_for(folder.path(), 10, LONG).await?;
    proxy.set(Fault::Refuse);
    let begun = std::time::Instant::now();
    while !tail(folder.path()).contains("the connection to the store is lost") {
        if begun.elapsed() > LONG {
            return Err(format!("the loss is not noticed\n{}", tail(folder.path())).into());
        }
        pause(20).await;
    }
    // The event that runs may end.
    pause(1000).await;
    let started = read(folder.path()).len();
    pause(2000).await;
    let later = read(folder.path()).len();
    if started != later || later >= 600 {
        return Err(format!("the record had {started} lines, and {later} a little later").into());
    }
    proxy.set(Fault::None);
    wait_for(folder.path(), 300, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    check(folder.path(), 300, &[])
}

/// The server cuts off a client for which it has 64 MiB. So kvwatch never asks for as much at once.
async fn server_does_not_cut_off_a_slow_reader_of_large_values() -> Result<(), Failure> {
    let (server, context, folder, mut options) = setup().await?;
    put_values(&context, 150, 150, |number| format!("{number} {}", "x".repeat(1_000_000))).await?;
    let proxy = Proxy::to(server.port).await?;
    proxy.set(Fault::HoldAfter(500_000));
    options.url = proxy.url();
    let _process = Process::start(&options)?;
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    while !log().contains("watching") {
        pause(20).await;
    }
    pause(1000).await;
    proxy.set(Fault::None);
    wait_for(folder.path(), 150, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    if log().contains("the connection to the store is lost") {
        return Err(tail(folder.path()).into());
    }
    check(folder.path(), 150, &[])
}
