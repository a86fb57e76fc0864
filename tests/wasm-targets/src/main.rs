//! `wasm-targets [TARGET]...`: makes sure that these targets, or all targets, are installed.

use std::env;
use std::process::ExitCode;

use wasm_targets::{Error, Target, ensure};

const USAGE: &str = "\
Usage: wasm-targets [TARGET]...

Installs Rust's standard library for each TARGET for the rustc in use. A target that is installed
already does not change.
The default targets are wasm32-unknown-unknown, wasm32-wasip1 and wasm32-wasip2.";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "-h" || arg == "--help") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Error> {
    let mut targets = args.iter().map(|arg| arg.parse()).collect::<Result<Vec<Target>, _>>()?;
    if targets.is_empty() {
        targets.extend(Target::ALL);
    }
    ensure(&targets, &mut say)?;
    let names: Vec<_> = targets.iter().map(|target| target.as_str()).collect();
    say(&format!("installed: {}", names.join(", ")));
    Ok(())
}

fn say(line: &str) {
    eprintln!("wasm-targets: {line}");
}
