//! `kvwatch serve` on a real `nats-server`. The programs are built at full speed, and one of them, `bench-serve`, measures. It is a
//! package of its own, because the benchmarks that need no server should not compile a network client.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cargo_metadata::Message;
use wasmtime::error::Context as _;
use wasmtime::{Result, ensure, format_err};

use crate::guests::root;

/// Measures and prints the tables, and draws `tests/bench/serve/rates.svg`. `watcher` is the component that is served.
///
/// # Errors
///
/// There is no `nats-server`, cargo fails, or a program fails.
pub fn run(watcher: &[u8]) -> Result<()> {
    // Before minutes of compiling.
    harness::Server::new("nats-server", "NATS_SERVER").path().map_err(|reason| format_err!("{reason}"))?;
    let programs = build()?;
    let program = |name: &str| programs.get(name).with_context(|| format!("cargo built no program {name}"));
    let folder = tempfile::tempdir()?;
    let component = folder.path().join("watcher.wasm");
    std::fs::write(&component, watcher)?;
    let plot = root().join("tests/bench/serve/rates.svg");
    let status = Command::new(program("bench-serve")?).arg(program("kvwatch")?).arg(component).arg(plot).status()?;
    ensure!(status.success(), "bench-serve failed ({status})");
    Ok(())
}

/// The programs, by their names.
fn build() -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--profile", "bench", "-p", "kvwatch", "-p", "bench-serve"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = cargo.stdout.take().context("cargo has no standard output")?;
    let mut programs = BTreeMap::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(executable) = artifact.executable
        {
            programs.insert(artifact.target.name, executable.into());
        }
    }
    ensure!(cargo.wait()?.success(), "cargo failed to build kvwatch and bench-serve");
    Ok(programs)
}
