//! Tests `kvwatch serve` on a real `nats-server`. The D rules are tested from outside: by the store, and by the output of the
//! handlers.
//!
//! The server is `$NATS_SERVER`, or `nats-server` on the path. Without it the tests are reported as ignored. They fail with
//! `--include-ignored`, or if `$NATS_SERVER` is set. Each test has its own server, folder and processes. The tests mostly wait,
//! so several run at the same time. The test with an old server needs `$NATS_SERVER_OLD`, which is `nats-server` 2.10.
//!
//! `KVWATCH_SEEDS` are the seeds of the random schedules, for example `7` or `1..21`. Without it, the seed is random.
//! `KVWATCH_BACKLOG` is the number of events in the backlog: 100000 by default. A million takes some minutes.
//!
//! This program is also the process that is killed: it starts itself with the argument `serve-events`. It also replaces the tool
//! `nats`.

#[path = "../common/acting.rs"]
mod acting;
#[allow(dead_code, reason = "these tests use its components only")]
#[path = "../common/mod.rs"]
mod common;
mod nats_server;
mod nats_tool;
mod program;
#[allow(dead_code, reason = "the tests with Redis need all of it")]
mod proxy;
mod record;
mod scenarios;
mod watcher;

use std::process::ExitCode;

use harness::Test;
use nats_server::{OLD_PROGRAM, PROGRAM};

/// Tests at the same time.
const THREADS: usize = 4;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(watcher::COMMAND) => watcher::main(),
        Some(nats_tool::COMMAND) => {
            if let Err(cause) = nats_tool::main() {
                eprintln!("{cause}");
                return ExitCode::FAILURE;
            }
        }
        _ => return run(),
    }
    ExitCode::SUCCESS
}

fn run() -> ExitCode {
    let tests = scenarios::all().map(|it| test(it, || PROGRAM.path().map(drop), PROGRAM.is_named()));
    let with_old_server =
        scenarios::with_old_server().map(|it| test(it, || OLD_PROGRAM.path().map(drop), OLD_PROGRAM.is_named()));
    harness::run_at_once(THREADS, tests.chain(with_old_server))
}

fn test((name, body): &'static scenarios::Test, need: harness::Need, must_run: bool) -> Test {
    let body = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(runtime.block_on(body())?)
    };
    Test::fallible(name, body).needs(need).must_run(must_run)
}
