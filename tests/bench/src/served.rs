//! Measures `kvwatch serve` on a real `nats-server`. The programs are built with the profile `bench`. The program
//! `bench-serve` measures. It is a separate package, so that the other benchmarks do not compile a network client.

use std::process::Command;

use wasmtime::error::Context as _;
use wasmtime::{Result, ensure, format_err};

use crate::guests::{self, root};

/// Measures, prints the tables, and draws `tests/bench/serve/rates.svg`. `watcher` is the component to run.
///
/// # Errors
///
/// When there is no `nats-server`, or cargo or a program fails.
pub fn run(watcher: &[u8]) -> Result<()> {
    // A missing server fails here, before minutes of compiling.
    harness::Server::new("nats-server", "NATS_SERVER").path().map_err(|reason| format_err!("{reason}"))?;
    let programs = guests::programs(&["kvwatch", "bench-serve"])?;
    let program = |name: &str| programs.get(name).with_context(|| format!("cargo has built no program `{name}`"));
    let folder = tempfile::tempdir()?;
    let component = folder.path().join("watcher.wasm");
    std::fs::write(&component, watcher)?;
    let plot = root().join("tests/bench/serve/rates.svg");
    let status = Command::new(program("bench-serve")?).arg(program("kvwatch")?).arg(component).arg(plot).status()?;
    ensure!(status.success(), "bench-serve failed ({status})");
    Ok(())
}
