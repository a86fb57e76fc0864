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

use libtest_mimic::{Arguments, Completion, Trial};

const MISSING: &str =
    "it needs nats-server: run `.ci/nats-server FOLDER`, and set NATS_SERVER to the program that it prints";

/// Tests at the same time.
const THREADS: usize = 4;

fn main() {
    if std::env::args().nth(1).as_deref() == Some(watcher::COMMAND) {
        return watcher::main();
    }
    let missing = nats_server::find().is_none();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let must_run = arguments.include_ignored || std::env::var_os("NATS_SERVER").is_some();
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
