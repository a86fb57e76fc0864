//! The real program with a real component.

use std::time::{Duration, Instant};

use super::{pause, same, set_many, setup, tests};
use crate::acting::{EVERY_FUNCTION, WAITS_FOR_A_KEY, acting};
use crate::program::{self, Program, metric, written};
use crate::proxy::{Fault, Proxy};
use crate::record::{Failure, tail};
use crate::redis_server::{Server, free_port, run};
use crate::watcher::wait_until;

tests!(
    program_watches_a_database,
    program_acts_up_to_a_depth,
    program_says_what_is_wrong,
    program_calls_every_function,
    program_handles_other_keys_while_a_call_waits,
    program_tries_a_call_again_after_the_server_died_in_it,
);

const LONG: Duration = Duration::from_mins(1);

async fn program_watches_a_database() -> Result<(), Failure> {
    let (server, mut connection, folder, _) = setup().await?;
    let folder = folder.path();
    let component = program::audit_log(folder)?;
    let port = free_port();
    run::<()>(&mut connection, "SET k0 12345").await?;
    let arguments = ["--replay", "--listen", &port.to_string()];
    let mut running = Program::start(&component, &server.url(), folder, &arguments)?;
    program::wait_for(folder, 1).await?;
    same("the key that was there", &written(folder), &vec![("k0".to_owned(), 5)])?;
    set_many(&mut connection, 1..50, "123").await?;
    program::wait_for(folder, 50).await?;
    let (_, metrics) = program::get(port, "/metrics").await?;
    same("handled", &metrics.contains("kvwatch_handled_total{watcher=\"audit\"} 50"), &true)?;
    let (status, _) = program::get(port, "/readyz").await?;
    same("ready", &status.contains("200"), &true)?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    same("the promise", &log.contains("at most once"), &true)?;
    running.signal("-TERM")?;
    same("exit code", &running.end().await?, &0)
}

/// Each event adds 1 to the key `n`, so each addition calls the watcher again, up to the depth.
async fn program_acts_up_to_a_depth() -> Result<(), Failure> {
    let (server, mut connection, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    let increment =
        "(call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
        (call $worked)";
    std::fs::write(&component, acting(increment))?;
    let mut running = Program::start(&component, &server.url(), folder, &["--feed", "3", "--attempts", "1"])?;
    let begun = Instant::now();
    let mut sets = 0;
    while !std::fs::read_to_string(folder.join("log"))?.contains("an event is given up") {
        if begun.elapsed() > LONG {
            return Err(tail(folder).into());
        }
        // Changes before kvwatch watched are lost.
        if run::<Option<u64>>(&mut connection, "GET n").await?.is_none() {
            run::<()>(&mut connection, "SET k v").await?;
            sets += 1;
        }
        pause(200).await;
    }
    let number = run::<u64>(&mut connection, "GET n").await?;
    // Each set of `k` makes a chain of three.
    if number < 3 || number > 3 * sets {
        return Err(format!("n is {number} after {sets} sets\n{}", tail(folder)).into());
    }
    running.signal("-TERM")?;
    same("exit code", &running.end().await?, &0)
}

async fn program_says_what_is_wrong() -> Result<(), Failure> {
    let off = Server::start_with(&[]).await?;
    let mut away = Server::start().await?;
    away.kill()?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let component = program::audit_log(folder)?;
    let begun = Instant::now();
    for (url, argument, code, text) in [
        (off.url(), "--replay", 1, "CONFIG SET notify-keyspace-events"),
        (away.url(), "--replay", 4, "--wait"),
        (off.url(), "--shared", 2, "--shared is for NATS"),
        (off.url().replace("redis://", "redis://ada:hunter2@"), "--replay", 2, "put them into a file"),
    ] {
        let ended = Program::start(&component, &url, folder, &[argument])?.end().await?;
        let log = std::fs::read_to_string(folder.join("log"))?;
        // With several watchers in one file, the line must say which one it is about.
        let is_named =
            log.lines().filter(|line| line.contains("cannot go on")).all(|line| line.contains("\"watcher\":"));
        if ended != code || !log.contains(text) || log.contains("hunter2") || !is_named {
            return Err(format!(
                "exit code {ended}, not {code} with {text}, after {:?}\n{}",
                begun.elapsed(),
                tail(folder)
            )
            .into());
        }
    }
    Ok(())
}

async fn program_calls_every_function() -> Result<(), Failure> {
    let (server, mut connection, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(EVERY_FUNCTION))?;
    let port = free_port();
    let arguments = ["--allow-bucket", "1", "--attempts", "1", "--listen", &port.to_string()];
    let _program = Program::start(&component, &server.url(), folder, &arguments)?;
    wait_until(folder, "it does not watch", || crate::watcher::count(folder, "watching") > 0).await?;
    run::<()>(&mut connection, "SET k v").await?;
    // The watcher's own writes come back as events, and it ignores them: `a` twice, `c` and `n`. Some may be read as deleted.
    metric(port, "kvwatch_handled_total", 2).await?;
    let begun = Instant::now();
    while run::<Option<u64>>(&mut connection, "GET n").await? != Some(51) {
        if begun.elapsed() > LONG {
            return Err(tail(folder).into());
        }
        pause(50).await;
    }
    let mut keys = run::<Vec<String>>(&mut connection, "KEYS *").await?;
    keys.sort();
    same("keys", &keys, &vec!["k".to_owned(), "n".to_owned()])?;
    run::<()>(&mut connection, "SELECT 1").await?;
    same("the other bucket", &run::<u64>(&mut connection, "GET c").await?, &7)?;
    let (_, metrics) = program::get(port, "/metrics").await?;
    same("violations", &metrics.contains("kvwatch_violations_total{watcher=\"audit\"} 0"), &true)
}

/// The proxy holds the connection on which the watcher calls, so no answer comes.
async fn program_handles_other_keys_while_a_call_waits() -> Result<(), Failure> {
    let (server, mut connection, folder, _) = setup().await?;
    let folder = folder.path();
    let proxy = Proxy::to(server.port).await?;
    proxy.set(Fault::HoldFrom("EXISTS"));
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(WAITS_FOR_A_KEY))?;
    let port = free_port();
    let arguments = ["--workers", "2", "--attempts", "100", "--listen", &port.to_string()];
    let from = format!("redis://127.0.0.1:{}/0", proxy.port);
    let _program = Program::start(&component, &from, folder, &arguments)?;
    wait_until(folder, "it does not watch", || crate::watcher::count(folder, "watching") > 0).await?;
    run::<()>(&mut connection, "SET k v").await?;
    program::handled_during_a_call(port, 20, async |attempt| {
        for key in 0..20 {
            run::<()>(&mut connection, &format!("SET other.{attempt}.{key} v")).await?;
        }
        Ok(())
    })
    .await
}

/// The server dies while a call of the watcher waits for its answer. kvwatch has the event in hand, so it tries the event again,
/// and the event counts once.
async fn program_tries_a_call_again_after_the_server_died_in_it() -> Result<(), Failure> {
    let (mut server, mut connection, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(WAITS_FOR_A_KEY))?;
    let port = free_port();
    let arguments = ["--attempts", "20", "--listen", &port.to_string()];
    let _program = Program::start(&component, &server.url(), folder, &arguments)?;
    wait_until(folder, "it does not watch", || crate::watcher::count(folder, "watching") > 0).await?;
    run::<()>(&mut connection, "SET k v").await?;
    for death in 1..=3 {
        // The watcher makes calls all the time, so the server dies in a call.
        metric(port, "kvwatch_running", 1).await?;
        pause(300).await;
        server.kill()?;
        metric(port, "kvwatch_trapped_total", death).await?;
        server.restart().await?;
    }
    let mut connection = server.connection().await?;
    run::<()>(&mut connection, "SET a v").await?;
    metric(port, "kvwatch_handled_total", 1).await?;
    pause(500).await;
    same("n", &run::<u64>(&mut connection, "GET n").await?, &1)?;
    same("dead letters", &crate::watcher::count(folder, "dead letter"), &0)
}
