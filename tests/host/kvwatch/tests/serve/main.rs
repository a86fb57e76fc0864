//! `kvwatch serve` on a real `nats-server`: the D rules seen from outside, by the store and by what the handlers wrote.
//!
//! The server is `$NATS_SERVER`, or `nats-server` on the path. Without it the tests are reported as ignored; they fail with
//! `--include-ignored`, or if `$NATS_SERVER` is set. Each
//! test has its own server, folder and processes. They mostly wait, so several run at the same time.
//! `KVWATCH_BACKLOG` is the number of events of the backlog: 100000 without it, and a million takes some minutes.
//! This program is also the process that is killed: it starts itself with the argument `serve-events`.

#[path = "../common/acting.rs"]
mod acting;
#[allow(dead_code, reason = "these tests use its components only")]
#[path = "../common/mod.rs"]
mod common;
mod nats_server;
mod program;
#[allow(dead_code, reason = "the tests with Redis need all of it")]
mod proxy;
mod record;
mod scenarios;
mod watcher;

use std::process::ExitCode;

use harness::Test;
use nats_server::PROGRAM;

/// Tests at the same time.
const THREADS: usize = 4;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(watcher::COMMAND) {
        watcher::main();
        return ExitCode::SUCCESS;
    }
    run()
}

fn run() -> ExitCode {
    let tests = scenarios::all().map(|(name, test)| {
        let body = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            Ok(runtime.block_on(test())?)
        };
        Test::fallible(name, body).needs(|| PROGRAM.path().map(drop)).must_run(PROGRAM.is_named())
    });
    harness::run_at_once(THREADS, tests)
}
