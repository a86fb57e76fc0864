//! Runs `cargo build` and reads its messages.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use cargo_metadata::{Artifact, CrateType, Message};

use super::select::Library;
use super::{Build, Colour, Error, Line, inputs, tell};

/// Builds the library. Returns every artifact, also those that were already there.
pub(super) fn build(build: &Build, library: &Library, line: &Mutex<Option<Line<'_>>>) -> Result<Vec<Artifact>, Error> {
    let dir = || build.dir.clone();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = clean(Command::new(&cargo));
    command
        .args(["build", "--lib", "--message-format=json-render-diagnostics"])
        .args(["--profile", &build.profile, "--target", build.target.as_str(), "--package", &library.package])
        .current_dir(&build.dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for features in &build.features {
        command.args(["--features", features]);
    }
    if line.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        command.stderr(Stdio::piped());
    }
    match build.colour {
        Colour::Auto => {}
        Colour::Always => _ = command.args(["--color", "always"]),
        Colour::Never => _ = command.args(["--color", "never"]),
    }
    let cannot_run = |source| Error::Cargo { cargo: PathBuf::from(&cargo), source };
    let cannot_read = |source| Error::Messages { dir: dir(), source };
    let spawned = match &build.stop {
        Some(stop) => stop.spawn(&mut command),
        None => command.spawn().map(Some),
    };
    let Some(mut child) = spawned.map_err(cannot_run)? else { return Err(Error::Stopped { dir: dir() }) };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Both streams are read at the same time. If only one is read, cargo waits for ever when the other is full.
    let artifacts = thread::scope(|scope| {
        let artifacts = scope.spawn(|| artifacts(stdout, line));
        let mut read = Ok(());
        let mut unreadable = Vec::new();
        for text in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
            match text {
                Ok(text) => {
                    let text = String::from_utf8_lossy(&text);
                    unreadable.extend(inputs::unreadable(&text).map(|path| library.workspace.join(path)));
                    tell(line, text.trim_end());
                }
                Err(error) => {
                    read = Err(error);
                    break;
                }
            }
        }
        let artifacts = artifacts.join().unwrap_or_else(|panic| resume_unwind(panic));
        read.and(artifacts).map(|artifacts| (artifacts, unreadable))
    });
    if let Some(stop) = &build.stop {
        stop.forget(&child);
    }
    let status = child.wait().map_err(cannot_run)?;
    if build.stop.as_ref().is_some_and(super::Stop::is_stopped) {
        return Err(Error::Stopped { dir: dir() });
    }
    let (artifacts, unreadable) = artifacts.map_err(cannot_read)?;
    if !status.success() {
        let inputs = inputs::of_failed(build, library, unreadable);
        return Err(Error::Failed { dir: dir(), target: build.target, status, inputs });
    }
    Ok(artifacts)
}

fn artifacts(stdout: Option<ChildStdout>, line: &Mutex<Option<Line<'_>>>) -> io::Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for message in stdout.into_iter().flat_map(|stdout| Message::parse_stream(BufReader::new(stdout))) {
        match message? {
            Message::CompilerArtifact(artifact) => artifacts.push(artifact),
            Message::TextLine(text) => tell(line, &text),
            _ => {}
        }
    }
    Ok(artifacts)
}

/// The WebAssembly file of the library.
pub(super) fn library(library: &Library, artifacts: &[Artifact]) -> Option<PathBuf> {
    let own = |artifact: &&Artifact| {
        artifact.manifest_path.as_std_path() == library.manifest
            && artifact.target.crate_types.contains(&CrateType::CDyLib)
    };
    let files = artifacts.iter().filter(own).flat_map(|artifact| &artifact.filenames);
    files.into_iter().find(|file| file.extension() == Some("wasm")).map(|file| file.clone().into_std_path_buf())
}

/// The command without the variables that belong to another package.
pub(super) fn clean(mut command: Command) -> Command {
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_another_package(name)) {
        command.env_remove(name);
    }
    command
}

/// Whether an outer cargo sets this variable to describe the package that it runs or builds. The inner cargo sets its own. If it
/// does not set one, a build script would read the value of the outer package, and cargo would build again without need.
fn is_of_another_package(variable: &OsStr) -> bool {
    const NAMES: [&str; 8] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_MANIFEST_LINKS",
        "CARGO_CRATE_NAME",
        "CARGO_BIN_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
    ];
    const PREFIXES: [&str; 4] = ["CARGO_PKG_", "CARGO_BIN_EXE_", "CARGO_CFG_", "CARGO_FEATURE_"];
    let Some(variable) = variable.to_str() else { return false };
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_callers_package_do_not_reach_cargo() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_BIN_EXE_kvwatch", "OUT_DIR"] {
            assert!(is_of_another_package(OsStr::new(name)), "{name}");
        }
        for name in ["RUSTFLAGS", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO", "CARGO_NET_OFFLINE", "PATH"] {
            assert!(!is_of_another_package(OsStr::new(name)), "{name}");
        }
    }
}
