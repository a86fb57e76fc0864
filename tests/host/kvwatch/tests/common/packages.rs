//! Packages of watchers in folders of their own.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The time for a build of a package with all dependencies on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);

/// The program, with one target folder for all packages. So their dependencies are built once, and kept for the next run.
pub(crate) fn kvwatch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvwatch"));
    command.current_dir(folder).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("package"));
    command
}

pub(crate) fn new(folder: &Path, path: &str) -> Output {
    kvwatch(folder).args(["new", path]).output().unwrap()
}

/// A new package. It uses the SDK of this repository, because the SDK is not published.
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

/// A watcher that prints the value of an expression at each set.
pub(crate) fn source(expression: &str) -> String {
    format!(
        "use inbound_keyvalue::{{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch}};
#[handle_watch]
#[derive(Default)]
struct Watcher;
impl HandleWatch for Watcher {{
    fn on_set(&mut self, _: Bucket, _: Key, _: Payload) -> HandlerResult {{
        println!(\"{{}}\", {expression});
        Ok(())
    }}
}}
"
    )
}

/// A package in the folder `w`, with more lines in its manifest. Its name must be unique: all packages share a target folder.
pub(crate) fn watcher_package(root: &Path, name: &str, more: &str) {
    write(root, "w/Cargo.toml", &manifest(name, &format!("[workspace]\n{more}")));
    fs::copy(repository().join("Cargo.lock"), root.join("w/Cargo.lock")).unwrap();
    write(root, "events.jsonl", "{\"op\":\"set\",\"key\":\"a\",\"value\":\"b\"}\n");
}

pub(crate) fn manifest(name: &str, more: &str) -> String {
    let lib = if more.contains("[lib]") { "" } else { "[lib]\ncrate-type = [\"cdylib\"]\n" };
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{lib}{more}\n\
         [dependencies.inbound-keyvalue]\npath = '{}'\n",
        repository().display()
    )
}

pub(crate) fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Replaces the compiler of the package `w` with a script, which gets the compiler's command as its arguments.
#[cfg(unix)]
pub(crate) fn wrap_compiler(root: &Path, script: &str) {
    let path = root.join("rustc-wrapper");
    fs::write(&path, format!("#!/bin/sh\ncd '{}' || exit 1\n{script}", root.join("w").display())).unwrap();
    make_executable(&path);
    write(root, "w/.cargo/config.toml", &format!("[build]\nrustc-workspace-wrapper = '{}'\n", path.display()));
}

/// Waits until the file has some text, and returns it.
pub(crate) fn wait_for(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim_end().to_owned(),
            _ if begun.elapsed() > PATIENCE => panic!("{} is not written", path.display()),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Makes a file executable.
#[cfg(unix)]
pub(crate) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
