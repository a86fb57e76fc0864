//! The real program with a real component.

use std::time::{Duration, Instant};

use super::{pause, same, set_many, setup, tests};
use crate::acting::acting;
use crate::program::{self, Program, written};
use crate::record::{Failure, tail};
use crate::redis_server::{Server, run};

tests!(program_watches_a_database, program_acts_up_to_a_depth, program_says_what_is_wrong,);

const LONG: Duration = Duration::from_mins(1);

async fn program_watches_a_database() -> Result<(), Failure> {
    let (server, mut connection, folder, _) = setup().await?;
    let folder = folder.path();
    let component = program::audit_log(folder)?;
    let port = crate::redis_server::free_port();
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
        // What was set before kvwatch watched is lost.
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
        if ended != code || !log.contains(text) || log.contains("hunter2") {
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
