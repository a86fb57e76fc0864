//! The command, a module a subcommand.

mod args;
mod check;
mod completions;
mod new;
mod progress;
mod prompt;
mod report;
mod run;
mod runner;
mod screen;
#[cfg(all(feature = "serve", unix))]
mod serve;
mod stats;
mod style;
mod watch;
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

/// The exit code where the store of `kvwatch serve` is missing.
#[cfg(all(feature = "serve", unix))]
const MISSING: u8 = 3;

/// Runs key-value watchers: components of the world wasi:keyvalue/inbound-keyvalue
#[derive(Debug, Parser)]
#[command(name = "kvwatch", version, arg_required_else_help = true, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  kvwatch new my-watcher                   make a watcher's package
  kvwatch run my-watcher --watch           type events, and rebuild as you edit
  kvwatch run my-watcher events.jsonl      give it the events of a file
  kvwatch run my_watcher.wasm --json - <f  tell programs what became of events
  kvwatch check my-watcher                 what it imports, and how large it is

Colours go where a terminal is; NO_COLOR=1 and CLICOLOR=0 turn them off, and
CLICOLOR_FORCE=1 turns them on.";

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Run(Box<run::Run>),
    #[cfg(all(feature = "serve", unix))]
    Serve(Box<serve::Serve>),
    Check(check::Check),
    Completions(completions::Completions),
}

pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::New(new) => new.run(),
        Command::Run(run) => run.run(),
        #[cfg(all(feature = "serve", unix))]
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Completions(completions) => completions.run(),
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
