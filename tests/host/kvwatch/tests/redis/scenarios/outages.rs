//! Deaths of the server and of kvwatch, cut and silent connections, and a subscriber that is too slow.

use std::time::Duration;

use super::{pause, same, set_many, setup, tests};
use crate::proxy::{Fault, Proxy};
use crate::record::Failure;
use crate::redis_server::{ANNOUNCING, Server, run};
use crate::watcher::{Options, Process, believed, count, events, wait_until};

tests!(
    slow_subscriber_that_is_cut_off_is_told_and_replayed,
    killed_server_is_told_and_replayed,
    killed_kvwatch_converges_with_replay,
    failover_is_told,
    cut_connection_converges_with_replay,
    cut_connection_without_replay_loses_what_changed_meanwhile_and_says_so,
    silent_server_is_noticed,
    server_without_the_setting_after_a_restart_is_told_and_waited_for,
    stop_says_what_is_lost,
);

/// Waits until the watcher knows the values of the server.
async fn converges(server: &Server, folder: &std::path::Path, keys: usize) -> Result<(), Failure> {
    let mut connection = server.connection().await?;
    let size: usize = run(&mut connection, "DBSIZE").await?;
    same("keys of the server", &size, &keys)?;
    wait_until(folder, "the same keys as the server", || believed(folder).len() == keys).await?;
    let believed = believed(folder);
    let mut get = redis::cmd("MGET");
    for key in believed.keys() {
        get.arg(key);
    }
    let has: Vec<Option<String>> = get.query_async(&mut connection).await?;
    same("values", &believed.into_values().map(Some).collect(), &has)
}

async fn killed_server_is_told_and_replayed() -> Result<(), Failure> {
    let (mut server, mut connection, folder, mut options) = setup().await?;
    options.replay = true;
    set_many(&mut connection, 0..500, "1").await?;
    let process = Process::start(&options).await?;
    process.logged("all keys of the database are delivered", 1).await?;
    for round in 1..=3_u32 {
        // The server dies while it announces.
        let writer = tokio::spawn({
            let mut connection = connection.clone();
            async move { set_many(&mut connection, 500..5000, &round.to_string()).await }
        });
        pause(30 * u64::from(round)).await;
        server.restart().await?;
        let _ = writer.await?;
        connection = server.connection().await?;
        process.logged("the server was restarted", round as usize).await?;
        process.logged("all keys of the database are delivered", 1 + round as usize).await?;
    }
    run::<()>(&mut connection, "SET last 1").await?;
    let keys = run(&mut connection, "DBSIZE").await?;
    wait_until(folder.path(), "the last key", || believed(folder.path()).contains_key("last")).await?;
    converges(&server, folder.path(), keys).await
}

async fn killed_kvwatch_converges_with_replay() -> Result<(), Failure> {
    let (server, mut connection, folder, mut options) = setup().await?;
    options.replay = true;
    for round in 0..4_u32 {
        let mut process = Process::start(&options).await?;
        set_many(&mut connection, 0..2000, &round.to_string()).await?;
        pause(u64::from(round) * 20).await;
        process.kill()?;
        set_many(&mut connection, 1000..2500, "away").await?;
    }
    let _process = Process::start(&options).await?;
    let folder = folder.path();
    wait_until(folder, "the values of the server", || {
        let keys = believed(folder);
        keys.len() == 2500 && keys.values().filter(|value| *value == "away").count() == 1500
    })
    .await?;
    converges(&server, folder, 2500).await
}

async fn cut_connection_converges_with_replay() -> Result<(), Failure> {
    let (server, mut connection, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    options.url = format!("redis://127.0.0.1:{}/0", proxy.port);
    options.replay = true;
    set_many(&mut connection, 0..300, &"1".repeat(1000)).await?;
    let process = Process::start(&options).await?;
    process.logged("all keys of the database are delivered", 1).await?;
    // Cuts in the middle of announcements and of values, the first ones before a replay can end.
    for most in [7, 40_000, 100_000] {
        proxy.set(Fault::CutAfter(most));
        set_many(&mut connection, 0..300, &most.to_string().repeat(200)).await?;
        pause(1000).await;
        proxy.set(Fault::None);
        pause(300).await;
    }
    proxy.set(Fault::Refuse);
    run::<u64>(&mut connection, "DEL k1 k2 k3").await?;
    set_many(&mut connection, 298..302, "away").await?;
    pause(1500).await;
    let before = count(folder.path(), "all keys of the database are delivered");
    proxy.set(Fault::None);
    process.logged("all keys of the database are delivered", before + 1).await?;
    converges(&server, folder.path(), 299).await?;
    same("told", &(count(folder.path(), "the connection was cut") > 0), &true)
}

async fn cut_connection_without_replay_loses_what_changed_meanwhile_and_says_so() -> Result<(), Failure> {
    let (server, mut connection, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    options.url = format!("redis://127.0.0.1:{}/0", proxy.port);
    let process = Process::start(&options).await?;
    run::<()>(&mut connection, "SET a 1").await?;
    let folder = folder.path();
    wait_until(folder, "one event", || events(folder) == ["a=1"]).await?;
    proxy.set(Fault::Refuse);
    process.logged("the connection to the store is lost", 1).await?;
    run::<()>(&mut connection, "SET a 2").await?;
    proxy.set(Fault::None);
    process.logged("what changed meanwhile is lost; with --replay", 1).await?;
    run::<()>(&mut connection, "SET a 3").await?;
    wait_until(folder, "two events", || events(folder).len() == 2).await?;
    same("events", &events(folder), &["a=1".to_owned(), "a=3".to_owned()].to_vec())
}

async fn silent_server_is_noticed() -> Result<(), Failure> {
    let (server, mut connection, folder, mut options) = setup().await?;
    let proxy = Proxy::to(server.port).await?;
    options.url = format!("redis://127.0.0.1:{}/0", proxy.port);
    options.replay = true;
    let process = Process::start(&options).await?;
    proxy.set(Fault::Silent);
    run::<()>(&mut connection, "SET a 1").await?;
    process.logged("the connection to the store is lost", 1).await?;
    proxy.set(Fault::None);
    wait_until(folder.path(), "one key", || believed(folder.path()).len() == 1).await
}

async fn slow_subscriber_that_is_cut_off_is_told_and_replayed() -> Result<(), Failure> {
    let (server, mut connection, folder, mut options) = setup().await?;
    // The buffers of the operating system take some megabytes before the server's own buffer fills.
    run::<()>(&mut connection, "CONFIG SET tcp-keepalive 0").await?;
    redis::cmd("CONFIG")
        .arg(&["SET", "client-output-buffer-limit", "pubsub 262144 262144 1"])
        .exec_async(&mut connection)
        .await?;
    options.replay = true;
    options.workers = 1;
    options.max_in_hand = 5;
    options.work = 300;
    options.record = false;
    let process = Process::start(&options).await?;
    let long = "x".repeat(2000);
    for round in 0..20 {
        let mut pipe = redis::pipe();
        for number in 0..1000 {
            pipe.cmd("SET").arg(format!("{long}{number}")).arg(round).ignore();
        }
        pipe.exec_async(&mut connection).await?;
        let clients: String = run(&mut connection, "CLIENT LIST TYPE pubsub").await?;
        if clients.trim().is_empty() {
            break;
        }
    }
    let clients: String = run(&mut connection, "CLIENT LIST TYPE pubsub").await?;
    same("subscribers of the server", &clients.trim(), &"")?;
    // The process must have waited for a moment before it counts as slow. Without keys, the rest goes faster.
    pause(500).await;
    run::<()>(&mut connection, "FLUSHDB").await?;
    process.logged("has cut off this subscriber", 1).await?;
    drop(folder);
    drop(server);
    Ok(())
}

async fn failover_is_told() -> Result<(), Failure> {
    let (primary, mut connection, folder, mut options) = setup().await?;
    let other = Server::start_with(&ANNOUNCING).await?;
    let mut replica = other.connection().await?;
    run::<()>(&mut replica, &format!("REPLICAOF 127.0.0.1 {}", primary.port)).await?;
    run::<()>(&mut connection, "SET a 1").await?;
    let begun = std::time::Instant::now();
    while run::<Option<String>>(&mut replica, "GET a").await?.is_none() {
        if begun.elapsed() > Duration::from_mins(1) {
            return Err("the replica has no data".into());
        }
        pause(100).await;
    }
    // The time that the replica runs before it is promoted.
    pause(6000).await;
    let proxy = Proxy::to(primary.port).await?;
    options.url = format!("redis://127.0.0.1:{}/0", proxy.port);
    options.replay = true;
    let process = Process::start(&options).await?;
    wait_until(folder.path(), "one key", || believed(folder.path()).len() == 1).await?;
    // The address points to the promoted server now.
    run::<()>(&mut replica, "REPLICAOF NO ONE").await?;
    run::<()>(&mut replica, "SET b 1").await?;
    proxy.redirect(other.port);
    process.logged("another server has its address now", 1).await?;
    wait_until(folder.path(), "two keys", || believed(folder.path()).len() == 2).await?;
    // The server behind a connection becomes a replica, and the connection stays.
    run::<()>(&mut replica, &format!("REPLICAOF 127.0.0.1 {}", primary.port)).await?;
    process.logged("a replica", 1).await
}

async fn server_without_the_setting_after_a_restart_is_told_and_waited_for() -> Result<(), Failure> {
    let mut server = Server::start_with(&[]).await?;
    let mut connection = server.connection().await?;
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&server.url(), folder.path());
    options.replay = true;
    run::<()>(&mut connection, "CONFIG SET notify-keyspace-events E$gxe").await?;
    let process = Process::start(&options).await?;
    // The setting was not in a file.
    server.restart().await?;
    process.logged("notify-keyspace-events is", 1).await?;
    connection = server.connection().await?;
    run::<()>(&mut connection, "SET a 1").await?;
    run::<()>(&mut connection, "CONFIG SET notify-keyspace-events KEA").await?;
    wait_until(folder.path(), "one key", || believed(folder.path()).len() == 1).await?;
    // Somebody switches it off while kvwatch is connected.
    let told = count(folder.path(), "notify-keyspace-events is");
    redis::cmd("CONFIG").arg(&["SET", "notify-keyspace-events", ""]).exec_async(&mut connection).await?;
    process.logged("notify-keyspace-events is", told + 1).await?;
    run::<()>(&mut connection, "SET b 1").await?;
    run::<()>(&mut connection, "CONFIG SET notify-keyspace-events E$gxe").await?;
    wait_until(folder.path(), "two keys", || believed(folder.path()).len() == 2).await
}

async fn stop_says_what_is_lost() -> Result<(), Failure> {
    let (_server, mut connection, folder, mut options) = setup().await?;
    options.work = 100;
    options.workers = 1;
    let process = Process::start(&options).await?;
    set_many(&mut connection, 0..100, "1").await?;
    wait_until(folder.path(), "some events", || events(folder.path()).len() >= 3).await?;
    process.signal("-TERM")?;
    process.logged("these events are lost", 1).await?;
    process.logged("ended=Ok", 1).await
}
