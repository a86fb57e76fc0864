//! The command line. Each subcommand has a module.

mod args;
mod check;
mod completions;
mod escape;
mod feed;
mod guest;
mod new;
mod progress;
mod prompt;
mod report;
mod run;
mod runner;
mod screen;
#[cfg(all(feature = "serve", unix))]
mod serve;
mod signals;
mod snapshot;
mod stats;
mod stdout;
mod store_file;
mod style;
mod watch;
mod watcher;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The result of a subcommand. An error is shown with its sources, and the exit code is [`UNABLE`].
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The exit code if the watcher failed.
const FAILED: u8 = 1;

/// The exit code if the subcommand could not be started or finished. clap uses the same code for wrong arguments.
const UNABLE: u8 = 2;

/// The exit code if the store of `kvwatch serve` is missing.
#[cfg(all(feature = "serve", unix))]
const MISSING: u8 = 4;
/// The exit code if standard output could not be written.
const OUTPUT_FAILED: u8 = 3;

/// The exit codes of all subcommands, as the help of `run` shows them.
const EXIT_CODES: &str = "\
Exit codes:
    0  all events were handled, or the reader of standard output closed it
    1  an event failed, or the watcher broke a rule for handles
    2  the watcher or the arguments cannot be used, the events cannot be read
       to their end, --strict met a line that is not an event, or the file of
       --store cannot be read or written
    3  standard output cannot be written, for example because a disk is full
  130  Ctrl-C ended the run
  143  SIGTERM ended the run";

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
  kvwatch run my-watcher events.jsonl      run it on the events of a file
  kvwatch run my_watcher.wasm --json - <f  report each event as JSON
  kvwatch check my-watcher                 show its imports and its size

A terminal gets colours. NO_COLOR=1 and CLICOLOR=0 turn them off, and
CLICOLOR_FORCE=1 turns them on for pipes and files too.";

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
    if let Some(code) = signals::ending() {
        return code;
    }
    watcher::stop_builds();
    result.unwrap_or_else(|error| {
        // It is no failure when the reader of standard output closes it.
        if is_broken_pipe(&*error) {
            return ExitCode::SUCCESS;
        }
        style::error(&chain(&*error));
        if style::CannotWrite::is(&*error) { OUTPUT_FAILED.into() } else { UNABLE.into() }
    })
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The text of an error and of its sources. A source that an earlier text contains is left out.
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
