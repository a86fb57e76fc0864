//! The command, a module a subcommand.

mod args;
mod check;
mod report;
mod run;
mod style;
mod watcher;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Whatever keeps a subcommand from being carried out; it is told with its sources, and the exit code is [`UNABLE`].
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The exit code where the watcher failed.
const FAILED: u8 = 1;

/// The exit code where it was not even tried, or not to the end. It is clap's too, for arguments that make no sense.
const UNABLE: u8 = 2;

/// Runs key-value watchers: components of the world wasi:keyvalue/inbound-keyvalue
#[derive(Debug, Parser)]
#[command(name = "kvwatch", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<run::Run>),
    Check(check::Check),
}

pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::Check(check) => check.run(),
    };
    result.unwrap_or_else(|error| {
        // Whoever reads standard output and has enough of it is no failure to be told of.
        if !is_broken_pipe(&*error) {
            style::error(&chain(&*error));
        }
        UNABLE.into()
    })
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// An error with all its sources, but for those that the one before has told already.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = error.source();
    }
    text
}
