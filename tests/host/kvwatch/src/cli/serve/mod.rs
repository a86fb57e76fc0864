//! `kvwatch serve`.

mod config;
mod http;
mod live;
mod log;
mod options;
mod redis;
mod reload;
mod run;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use self::config::{Config, Listen};
use self::log::Format;
use self::options::Options;
use super::{Result, style};

const EXAMPLES: &str = "\
Examples:
  kvwatch serve my_watcher.wasm --from nats://localhost:4222/orders --name audit
  kvwatch serve my_watcher.wasm --from redis://localhost:6379/0 --name audit --replay
  kvwatch serve --config kvwatch.toml --listen 9090

Exit codes:
  0  stopped by SIGTERM or SIGINT, in order
  1  the store refused something for good, or a delivery failed
  2  the options, the configuration or the watcher are wrong
  4  the store is missing: no server, no JetStream, no bucket or no database (--wait waits for it)
  143, 130  ended at once by a second SIGTERM or SIGINT; the events in hand come again";

/// Give a watcher the changes of a key-value bucket of NATS, at least once each, or of a Redis database, at most once
///
/// With NATS, an event is acknowledged after its handler returned, or after it was written to the dead letters. Events of one key
/// are handled in the bucket's order. One of all processes with one name works, and the others stand by.
///
/// With Redis, the changes while kvwatch is not connected are lost. With --replay, kvwatch delivers all keys at every connection,
/// so that the watcher gets the newest values. Each process gets all events. A watcher's own writes come back to it.
///
/// Every option is also a field of a TOML file, with the name of its flag. --print-config shows it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: Options,

    /// A TOML file with a table [[watcher]] for each watcher. Options of the command line take precedence
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,

    /// Print the configuration with all defaults, and exit
    #[arg(long)]
    print_config: bool,

    /// Offer /metrics, /healthz and /readyz at this address. Without an address, the port is on 127.0.0.1
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    listen: Option<Listen>,

    /// The format of the log [default: text on a terminal, json otherwise]
    #[arg(long)]
    log: Option<Format>,
}

impl Serve {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let config = self.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
        let config = config.complete(self.options, self.listen, self.log)?;
        if self.print_config {
            style::print(config.to_text()?.trim_end())?;
            return Ok(ExitCode::SUCCESS);
        }
        log::start(config.log);
        run::run(config)
    }
}
