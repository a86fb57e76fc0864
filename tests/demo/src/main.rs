//! Builds and starts the demo, which is in the package `demo-watchers`.
//!
//! The demo contains wasmtime, and its first build takes minutes. This program depends on nothing. It starts after a second, and
//! describes the next steps.

use std::env;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

const DEMO: &str = "demo-watchers";

fn main() -> ExitCode {
    if !is_built().unwrap_or(false) {
        eprintln!(
            "The first run builds a host for WebAssembly: about three minutes on two cores, 1.5 GB on disk. Later runs take seconds."
        );
    }
    match build_and_run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: cannot start cargo: {error}; run `cargo run --bin {DEMO}` instead");
            ExitCode::FAILURE
        }
    }
}

/// Whether an earlier run has built the demo: cargo puts all programs of a profile in one folder.
fn is_built() -> io::Result<bool> {
    let program = format!("{DEMO}{}", env::consts::EXE_SUFFIX);
    env::current_exe()?.with_file_name(program).try_exists()
}

fn build_and_run() -> io::Result<ExitCode> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // In the root of the repository and with the name of a program, cargo compiles the same features as for `cargo test`.
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).args(["run", "--bin", DEMO]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let code = cargo.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
