//! A package that `kvwatch new` made, as its author works on it, and what `--watch` does.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use common::DROP_BOTH;
use tempfile::TempDir;

/// Long enough for a package and all that it depends on to be built on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn kvwatch(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvwatch"));
    // Its dependencies are built once for all tests, and for the next run of them.
    command.current_dir(folder).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("package"));
    command
}

fn new(folder: &Path, path: &str) -> Output {
    kvwatch(folder).args(["new", path]).output().unwrap()
}

/// A new package, which gets the SDK from here: it is not published.
fn package(folder: &TempDir, name: &str) -> PathBuf {
    let output = new(folder.path(), name);
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap();
    let package = folder.path().join(name);
    let manifest = package.join("Cargo.toml");
    let patch = format!("\n[patch.crates-io]\ninbound-keyvalue = {{ path = '{}' }}\n", repository.display());
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + &patch).unwrap();
    // The package gets the same releases as this repository. cargo downloads those that the machine lacks.
    fs::copy(repository.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
    package
}

#[test]
fn a_new_package_passes_its_test_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(&folder, "new-watcher");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    let cargo = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&package).env("CARGO_TARGET_DIR", &target);
        cargo
    };
    let output = cargo().arg("test").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("2 passed"), "{stdout}");
    assert!(cargo().args(["fmt", "--check"]).status().unwrap().success());

    for (target, origin) in [
        ("wasm32-wasip2", "beyond the world, as built for wasm32-wasip2:"),
        ("wasm32-wasip1", "beyond the world, by the adapter of wasm32-wasip1:"),
        ("wasm32-unknown-unknown", "beyond the world: nothing"),
    ] {
        let output = kvwatch(&package).args(["check", ".", "--target", target]).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(stdout.matches("beyond the world").count(), 1, "{stdout}");
        assert!(stdout.contains(origin) && stdout.contains("\nmain, the watcher "), "{stdout}");
    }

    let output = kvwatch(&package).args(["run", ".", "events.jsonl"]).output().unwrap();
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "1: users/ada is set to 12 characters\n2: users/grace is set to 12 characters\n3: users/ada is deleted\n"
    );
}

#[test]
fn a_new_package_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    let output = new(folder.path(), "mine");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.starts_with(b"error: mine is there already: nothing in it was touched"));
    assert_eq!(fs::read_dir(folder.path().join("mine")).unwrap().count(), 0);
}

#[test]
fn a_new_package_has_a_name_that_cargo_takes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, advice) in
        [("my watcher", "how about `my-watcher`?"), ("9lives", "how about `watcher-9lives`?"), ("..", "has no name")]
    {
        let output = new(folder.path(), name);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(advice), "{stderr}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(new(folder.path(), "deep/er/watcher").status.success());
    let manifest = fs::read_to_string(folder.path().join("deep/er/watcher/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"watcher\"\n"), "{manifest}");
}

/// `kvwatch run --watch`, which does not end by itself.
struct Watching {
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Watching {
    fn new(folder: &Path, args: &[&str]) -> Self {
        let mut child = kvwatch(folder)
            .arg("run")
            .args(args)
            .arg("--watch")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, stderr) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { child, stdout, stderr }
    }

    /// Waits for the watcher to write a line with this in it.
    fn expect_of_watcher(&self, part: &str) {
        expect(&self.stdout, part);
    }

    /// Waits for kvwatch to say a line with this in it.
    fn expect(&self, part: &str) {
        expect(&self.stderr, part);
    }
}

#[track_caller]
fn expect(lines: &Receiver<String>, part: &str) {
    let begun = Instant::now();
    let mut seen = Vec::new();
    while let Ok(line) = lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
        if line.contains(part) {
            return;
        }
        seen.push(line);
    }
    panic!("no line has {part:?} in it:\n{}", seen.join("\n"));
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It may have ended, where the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(()) = send.send(line.unwrap()) else { return };
        }
    });
    lines
}

#[test]
fn a_component_is_loaded_anew_when_its_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        // As a linker does that replaces what it made.
        fs::write(folder.path().join("new"), bytes).unwrap();
        fs::rename(folder.path().join("new"), folder.path().join(name)).unwrap();
    };
    write("w.wasm", &common::watcher("unreachable"));
    write("events.jsonl", b"{\"op\":\"set\",\"key\":\"a\",\"value\":\"b\"}\n");
    let watching = Watching::new(folder.path(), &["w.wasm", "events.jsonl"]);
    watching.expect("1 event, 1 failed");
    watching.expect("waiting for a change");
    write("w.wasm", &common::watcher(DROP_BOTH));
    watching.expect("reloaded: w.wasm");
    watching.expect("1 event");
    watching.expect("waiting for a change");
    write("events.jsonl", b"{\"op\":\"delete\",\"key\":\"a\"}\n{\"op\":\"delete\",\"key\":\"a\"}\n");
    watching.expect("2 events");
    watching.expect("waiting for a change");
    write("w.wasm", b"nonsense");
    watching.expect("error: w.wasm is not WebAssembly");
}

#[test]
fn a_package_is_built_anew_when_its_source_changes() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(&folder, "watched");
    let source = package.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    let watching = Watching::new(&package, &[".", "events.jsonl"]);
    watching.expect_of_watcher("1: users/ada is set to 12 characters");
    watching.expect("waiting for a change");
    fs::write(&source, text.replace("is set to", "no longer is text;")).unwrap();
    watching.expect("building");
    watching.expect("the store is as it was");
    // It is a fresh instance, which counts anew.
    watching.expect_of_watcher("1: users/ada no longer is text; 12 characters");
    watching.expect("waiting for a change");
    fs::write(&source, "no Rust").unwrap();
    watching.expect("src/lib.rs:1:");
    watching.expect("the watcher goes on as it was");
}
