//! `kvwatch serve --from redis://…`, and Redis as a store, on a real `redis-server`.
//!
//! The server is `$REDIS_SERVER`, or `redis-server` on the path. Without it the tests are reported as ignored; they fail with
//! `--include-ignored`, or if `$REDIS_SERVER` is set. Each test has its own server, folder and processes.
//! This program is also the process that is killed: it starts itself with the argument `redis-events`.

#[path = "../common/acting.rs"]
mod acting;
#[allow(dead_code, reason = "these tests use its components only")]
#[path = "../common/mod.rs"]
mod common;
#[allow(dead_code, reason = "the tests with NATS need all of it")]
#[path = "../serve/program.rs"]
mod program;
#[allow(dead_code, reason = "the tests with NATS need all of it")]
#[path = "../serve/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "the tests with NATS need all of it")]
#[path = "../serve/record.rs"]
mod record;
mod redis_server;
mod scenarios;
mod watcher;

use std::process::ExitCode;

use harness::Test;
use redis_server::PROGRAM;

/// Tests at the same time.
const THREADS: usize = 4;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(watcher::COMMAND) => watcher::main(),
        Some(watcher::INCREMENT) => watcher::increment(),
        _ => return run(),
    }
    ExitCode::SUCCESS
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
