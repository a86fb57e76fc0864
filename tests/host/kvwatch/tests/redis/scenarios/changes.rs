//! Tests the event of each change of a key.

use std::collections::BTreeMap;

use kvwatch::serve::{self, BoxFuture, Cause};
use kvwatch::sources::redis::{RedisSource, Settings};

use super::{pause, same, set_many, setup, tests};
use crate::record::Failure;
use crate::redis_server::{Server, run};
use crate::watcher::{Options, Process, believed, count, events, wait_until};

tests!(
    source_conforms_like_every_source,
    twenty_thousand_events_arrive_in_order,
    d8_every_change_of_a_string_is_an_event,
    evicted_keys_are_deleted,
    flush_with_replay_deletes_every_key_that_the_watcher_knows,
    flush_without_replay_is_told,
    other_types_are_skipped_and_counted_and_told_once,
    keys_that_are_not_utf8_are_skipped_and_escaped,
    several_processes_get_all_events,
    other_databases_are_not_watched,
    replay_of_many_keys_has_bounded_memory,
);

/// Changes keys of the database.
struct Writer(redis::aio::MultiplexedConnection);

impl serve::Client for Writer {
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), Cause>> {
        let mut connection = self.0.clone();
        Box::pin(async move { Ok(redis::cmd("SET").arg(key).arg(value).exec_async(&mut connection).await?) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Cause>> {
        let mut connection = self.0.clone();
        Box::pin(async move { Ok(redis::cmd("DEL").arg(key).exec_async(&mut connection).await?) })
    }
}

async fn source_conforms_like_every_source() -> Result<(), Failure> {
    let (server, connection, _folder, _) = setup().await?;
    let settings = Settings::new(server.url().parse()?, "watcher");
    let mut source = RedisSource::open(settings, std::sync::Arc::default()).await?;
    Ok(serve::conforms(&mut source, &Writer(connection)).await?)
}

async fn twenty_thousand_events_arrive_in_order() -> Result<(), Failure> {
    const KEYS: u32 = 100;
    const ROUNDS: u32 = 200;
    let (_server, mut connection, folder, options) = setup().await?;
    let _process = Process::start(&options).await?;
    for round in 1..=ROUNDS {
        set_many(&mut connection, 0..KEYS, &round.to_string()).await?;
    }
    let expected = (KEYS * ROUNDS) as usize;
    wait_until(folder.path(), "20,000 events", || events(folder.path()).len() >= expected).await?;
    pause(200).await;
    let events = events(folder.path());
    same("events", &events.len(), &expected)?;
    // The value is that at the time of the change, or a newer one. A key never goes back to an older value.
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &events {
        let (key, value) = event.split_once('=').ok_or("a delete")?;
        let value = value.parse()?;
        let before = last.insert(key, value).unwrap_or_default();
        if value < before {
            return Err(format!("{key} went from {before} back to {value}").into());
        }
    }
    if last.len() != KEYS as usize || last.values().any(|value| *value != ROUNDS) {
        return Err(format!("the last values: {last:?}").into());
    }
    Ok(())
}

async fn d8_every_change_of_a_string_is_an_event() -> Result<(), Failure> {
    let (_server, mut connection, folder, mut options) = setup().await?;
    // There is no order between keys with several workers.
    options.workers = 1;
    let _process = Process::start(&options).await?;
    let mut expected: Vec<&str> = Vec::new();
    for (command, becomes) in [
        ("SET a 1", &["a=1"][..]),
        ("APPEND a 2", &["a=12"]),
        ("INCRBY a 5", &["a=17"]),
        ("INCRBYFLOAT a 0.5", &["a=17.5"]),
        ("SETRANGE a 0 9", &["a=97.5"]),
        ("GETSET a x", &["a=x"]),
        ("MSET b 1 c 2", &["b=1", "c=2"]),
        ("RENAME b d", &["b gone", "d=1"]),
        ("COPY d e", &["e=1"]),
        ("EXPIRE e 1000", &[]),
        ("PERSIST e", &[]),
        ("GETDEL e", &["e gone"]),
        ("UNLINK d", &["d gone"]),
        ("DEL c missing", &["c gone"]),
        ("MOVE a 1", &["a gone"]),
        ("SET f short PX 50", &["f=short", "f gone"]),
        ("SET g 1", &["g=1"]),
        // A time in the past deletes the key at once.
        ("EXPIREAT g 1", &["g gone"]),
        ("SETBIT h 1 1", &["h=@"]),
    ] {
        run::<redis::Value>(&mut connection, command).await?;
        expected.extend(becomes);
        let folder = folder.path();
        wait_until(folder, command, || events(folder).len() >= expected.len()).await?;
    }
    same("events", &events(folder.path()), &expected.iter().map(ToString::to_string).collect())
}

async fn evicted_keys_are_deleted() -> Result<(), Failure> {
    let (_server, mut connection, folder, options) = setup().await?;
    let _process = Process::start(&options).await?;
    let value = "x".repeat(10_000);
    set_many(&mut connection, 0..100, &value).await?;
    wait_until(folder.path(), "100 events", || events(folder.path()).len() >= 100).await?;
    run::<()>(&mut connection, "CONFIG SET maxmemory-policy allkeys-random").await?;
    let memory: redis::InfoDict = run(&mut connection, "INFO memory").await?;
    let used: u64 = memory.get("used_memory").ok_or("no used_memory")?;
    run::<()>(&mut connection, &format!("CONFIG SET maxmemory {}", used - 300_000)).await?;
    // Eviction happens with the next commands.
    for _ in 0..20 {
        let _ = run::<redis::Value>(&mut connection, "SET trigger 1").await;
        pause(10).await;
    }
    let stats: redis::InfoDict = run(&mut connection, "INFO stats").await?;
    let evicted: usize = stats.get("evicted_keys").ok_or("no evicted_keys")?;
    if evicted == 0 {
        return Err("the server evicted nothing".into());
    }
    let gone = || events(folder.path()).iter().filter(|event| event.ends_with(" gone")).count();
    wait_until(folder.path(), "evicted keys", || gone() >= evicted).await
}

async fn flush_with_replay_deletes_every_key_that_the_watcher_knows() -> Result<(), Failure> {
    let (_server, mut connection, folder, mut options) = setup().await?;
    options.replay = true;
    set_many(&mut connection, 0..300, "before").await?;
    let process = Process::start(&options).await?;
    set_many(&mut connection, 300..400, "after").await?;
    let folder = folder.path();
    wait_until(folder, "400 keys", || believed(folder).len() == 400).await?;
    process.logged("all keys of the database are delivered", 1).await?;
    run::<()>(&mut connection, "FLUSHDB").await?;
    run::<()>(&mut connection, "SET new 1").await?;
    process.logged("all keys of a database were deleted", 1).await?;
    wait_until(folder, "no key but the new one", || believed(folder).into_keys().eq(["new".to_owned()])).await?;
    same("lost", &count(folder, "is lost"), &0)
}

async fn flush_without_replay_is_told() -> Result<(), Failure> {
    let (_server, mut connection, folder, options) = setup().await?;
    let process = Process::start(&options).await?;
    run::<()>(&mut connection, "SET a 1").await?;
    wait_until(folder.path(), "one event", || events(folder.path()) == ["a=1"]).await?;
    run::<()>(&mut connection, "FLUSHALL").await?;
    process.logged("and Redis does not say which", 1).await?;
    run::<()>(&mut connection, "SET b 1").await?;
    wait_until(folder.path(), "two events", || events(folder.path()) == ["a=1", "b=1"]).await
}

async fn other_types_are_skipped_and_counted_and_told_once() -> Result<(), Failure> {
    let server = Server::start_with(&["--notify-keyspace-events", "KEA"]).await?;
    let mut connection = server.connection().await?;
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&server.url(), folder.path());
    options.replay = true;
    run::<()>(&mut connection, "RPUSH old 1").await?;
    run::<()>(&mut connection, "SET s 0").await?;
    let process = Process::start(&options).await?;
    process.logged("all keys of the database are delivered", 1).await?;
    for command in
        ["RPUSH list 1 2", "HSET hash a 1", "SADD set a", "ZADD sorted 1 a", "XADD stream * a 1", "RPUSH list 3"]
    {
        run::<redis::Value>(&mut connection, command).await?;
    }
    // A string that becomes another type is gone for a watcher.
    run::<redis::Value>(&mut connection, "SUNIONSTORE s set").await?;
    run::<()>(&mut connection, "SET t 1").await?;
    let folder = folder.path();
    wait_until(folder, "the last event", || events(folder).last().is_some_and(|event| event == "t=1")).await?;
    same("events", &events(folder), &["s=0", "s gone", "t=1"].map(str::to_owned).to_vec())?;
    process.signal("-TERM")?;
    process.logged("skipped_types: 8", 1).await?;
    same("lines about types", &count(folder, "a watcher gets strings only"), &1)
}

async fn keys_that_are_not_utf8_are_skipped_and_escaped() -> Result<(), Failure> {
    let (_server, mut connection, folder, mut options) = setup().await?;
    options.replay = true;
    redis::cmd("SET").arg(b"\xff\x1b[31m").arg(1).exec_async(&mut connection).await?;
    let process = Process::start(&options).await?;
    process.logged("all keys of the database are delivered", 1).await?;
    redis::cmd("SET").arg(b"\xfe\n").arg(1).exec_async(&mut connection).await?;
    redis::cmd("DEL").arg(b"\xfe\n").exec_async(&mut connection).await?;
    run::<()>(&mut connection, "SET a 1").await?;
    let folder = folder.path();
    wait_until(folder, "one event", || events(folder) == ["a=1"]).await?;
    process.signal("-TERM")?;
    process.logged("skipped_keys: 3", 1).await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    same("control characters", &log.chars().any(|c| c.is_control() && c != '\n'), &false)?;
    same("the escaped key", &log.contains(r"\xff\x1b[31m"), &true)
}

async fn several_processes_get_all_events() -> Result<(), Failure> {
    let (_server, mut connection, folder, options) = setup().await?;
    let others = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut processes = vec![Process::start(&options).await?];
    for other in &others {
        processes.push(Process::start(&Options { folder: other.path().to_owned(), ..options.clone() }).await?);
    }
    set_many(&mut connection, 0..1000, "1").await?;
    for folder in [&folder, &others[0], &others[1]] {
        wait_until(folder.path(), "1000 events", || events(folder.path()).len() == 1000).await?;
    }
    Ok(())
}

async fn other_databases_are_not_watched() -> Result<(), Failure> {
    let (server, mut connection, folder, mut options) = setup().await?;
    options.url = server.url().replace("/0", "/2");
    let _process = Process::start(&options).await?;
    run::<()>(&mut connection, "SET a 0").await?;
    run::<()>(&mut connection, "SELECT 2").await?;
    run::<()>(&mut connection, "SET a 2").await?;
    wait_until(folder.path(), "one event", || events(folder.path()) == ["a=2"]).await
}

async fn replay_of_many_keys_has_bounded_memory() -> Result<(), Failure> {
    const KEYS: u32 = 20_000;
    let (_server, mut connection, folder, mut options) = setup().await?;
    options.replay = true;
    options.record = false;
    options.max_in_hand = 50;
    let early = {
        set_many(&mut connection, 0..1000, &"x".repeat(10_000)).await?;
        let process = Process::start(&options).await?;
        process.logged("all keys of the database are delivered", 1).await?;
        process.peak_memory()?
    };
    set_many(&mut connection, 1000..KEYS, &"x".repeat(10_000)).await?;
    let process = Process::start(&options).await?;
    process.logged("all keys of the database are delivered", 2).await?;
    let late = process.peak_memory()?;
    println!("peak {early} KiB for 10 MB of values, {late} KiB for 200 MB");
    drop(folder);
    // The values have 200 MB; the names of the keys are remembered.
    if late < early + 30 * 1024 { Ok(()) } else { Err(format!("the peak was {early} KiB, and then {late} KiB").into()) }
}
