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

use libtest_mimic::{Arguments, Completion, Trial};

const MISSING: &str =
    "it needs redis-server: run `.ci/redis-server FOLDER`, and set REDIS_SERVER to the program that it prints";

/// Tests at the same time.
const THREADS: usize = 4;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some(watcher::COMMAND) => return watcher::main(),
        Some(watcher::INCREMENT) => return watcher::increment(),
        _ => {}
    }
    let missing = redis_server::find().is_none();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let must_run = arguments.include_ignored || std::env::var_os("REDIS_SERVER").is_some();
    let trials = scenarios::all().map(|(name, test)| {
        Trial::ignorable_test(*name, move || {
            match missing {
                true if must_run => return Err(MISSING.into()),
                true => return Ok(Completion::ignored_with(MISSING)),
                false => {}
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(test())?;
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
