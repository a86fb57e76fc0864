//! `kvwatch`: runs key-value watchers.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
