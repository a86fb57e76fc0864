//! Packages of watchers in folders of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The program, with one target folder for all packages: what they depend on is built once, and kept for the next run.
pub(crate) fn kvwatch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvwatch"));
    command.current_dir(folder).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("package"));
    command
}

pub(crate) fn new(folder: &Path, path: &str) -> Output {
    kvwatch(folder).args(["new", path]).output().unwrap()
}

/// A new package, which gets the SDK from here: it is not published.
pub(crate) fn package(folder: &TempDir, name: &str) -> PathBuf {
    let output = new(folder.path(), name);
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    let repository = repository();
    let package = folder.path().join(name);
    let manifest = package.join("Cargo.toml");
    let patch = format!("\n[patch.crates-io]\ninbound-keyvalue = {{ path = '{}' }}\n", repository.display());
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + &patch).unwrap();
    // The package gets the same releases as this repository. cargo downloads those that the machine lacks.
    fs::copy(repository.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    package
}

/// The root of this repository, where the SDK is.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}
