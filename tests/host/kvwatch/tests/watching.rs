//! Tests `--watch` through the program. No test depends on how long something takes: each waits for a line, and only a fault
//! reaches its time limit.
#![cfg(unix)]

mod common;
#[path = "common/packages.rs"]
mod packages;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use common::DROP_BOTH;
use packages::{PATIENCE, kvwatch, package, source, wait_for, watcher_package, wrap_compiler, write};

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
        // The process may have ended if the test has failed.
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

/// A step of a test.
enum Step {
    Write(&'static str, String),
    Rename(&'static str, &'static str),
    /// Wait for a line of the watcher.
    Prints(&'static str),
    /// Wait for a line of kvwatch.
    Says(&'static str),
}

/// A case: its description, the name of the package, more lines of its manifest, its files at the start, and the steps.
type Row = (&'static str, &'static str, &'static str, Vec<(&'static str, String)>, Vec<Step>);

/// It reads a file outside of the package.
const BUILD_SCRIPT: &str = "fn main() {
    println!(\"cargo::rerun-if-changed=../outside.txt\");
    println!(\"cargo::rustc-env=TEXT={}\", std::fs::read_to_string(\"../outside.txt\").unwrap().trim());
}
";

/// A watcher that prints a file outside of its package.
fn included() -> String {
    source("include_str!(\"../../outside.txt\").trim()")
}

const DEPENDENCY: &str = "[dependencies.inner]\npath = '../inner'\n";

/// The source and the manifest of that dependency.
fn inner(text: &str) -> String {
    format!("pub const TEXT: &str = \"{text}\";")
}

fn inner_manifest() -> String {
    "[package]\nname = \"inner\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n".to_owned()
}

fn rows() -> Vec<Row> {
    use Step::{Prints, Rename, Says, Write};

    vec![
        (
            "a library that is not in src",
            "w-elsewhere",
            "[lib]\npath = \"code/w.rs\"\ncrate-type = [\"cdylib\"]\n",
            vec![("w/code/w.rs", source("\"old\""))],
            vec![Prints("old"), Says("waiting"), Write("w/code/w.rs", source("\"new\"")), Prints("new")],
        ),
        (
            "a file of include_str!",
            "w-includes",
            "",
            vec![("w/src/lib.rs", included()), ("outside.txt", "old".into())],
            vec![Prints("old"), Says("waiting"), Write("outside.txt", "new".into()), Prints("new")],
        ),
        (
            "a path dependency",
            "w-depends",
            DEPENDENCY,
            vec![
                ("w/src/lib.rs", source("inner::TEXT")),
                ("inner/Cargo.toml", inner_manifest()),
                ("inner/src/lib.rs", inner("old")),
            ],
            vec![Prints("old"), Says("waiting"), Write("inner/src/lib.rs", inner("new")), Prints("new")],
        ),
        (
            "a file that a build script names",
            "w-scripted",
            "",
            vec![
                ("w/src/lib.rs", source("env!(\"TEXT\")")),
                ("w/build.rs", BUILD_SCRIPT.to_owned()),
                ("outside.txt", "old".into()),
            ],
            vec![Prints("old"), Says("waiting"), Write("outside.txt", "new".into()), Prints("new")],
        ),
        (
            "src is renamed away and back, twice",
            "w-branches",
            "",
            vec![("w/src/lib.rs", source("\"old\""))],
            vec![
                Prints("old"),
                Says("waiting"),
                Rename("w/src", "away"),
                Says("the old watcher continues"),
                Write("away/lib.rs", source("\"new\"")),
                Rename("away", "w/src"),
                Prints("new"),
                Says("waiting"),
                Rename("w/src", "away"),
                Says("the old watcher continues"),
                Write("away/lib.rs", source("\"newest\"")),
                Rename("away", "w/src"),
                Prints("newest"),
            ],
        ),
    ]
}

fn rows_whose_first_build_fails() -> Vec<Row> {
    use Step::{Prints, Says, Write};

    vec![
        (
            "the first build fails",
            "w-broken",
            "",
            vec![("w/src/lib.rs", "no Rust".into())],
            vec![Says("cargo did not build"), Says("waiting"), Write("w/src/lib.rs", source("\"new\"")), Prints("new")],
        ),
        (
            "the first build fails because of a file outside of the package",
            "w-lacks",
            "",
            vec![("w/src/lib.rs", included())],
            vec![Says("cargo did not build"), Says("waiting"), Write("outside.txt", "new".into()), Prints("new")],
        ),
        (
            "the first build fails in a path dependency",
            "w-depends-broken",
            DEPENDENCY,
            vec![
                ("w/src/lib.rs", source("inner::TEXT")),
                ("inner/Cargo.toml", inner_manifest()),
                ("inner/src/lib.rs", "no Rust".into()),
            ],
            vec![Says("cargo did not build"), Says("waiting"), Write("inner/src/lib.rs", inner("new")), Prints("new")],
        ),
        (
            "the first build lacks a path dependency",
            "w-depends-missing",
            DEPENDENCY,
            vec![("w/src/lib.rs", source("inner::TEXT"))],
            vec![
                Says("cargo cannot read the package"),
                Says("waiting"),
                Write("inner/src/lib.rs", inner("new")),
                Write("inner/Cargo.toml", inner_manifest()),
                Prints("new"),
            ],
        ),
    ]
}

#[test]
fn every_file_that_a_build_reads_is_followed() {
    for (what, name, more, files, steps) in rows().into_iter().chain(rows_whose_first_build_fails()) {
        println!("{what}");
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        watcher_package(root, name, more);
        for (path, text) in &files {
            write(root, path, text);
        }
        let watching = Watching::new(root, &["w", "events.jsonl"]);
        for step in steps {
            match step {
                Step::Write(path, text) => write(root, path, &text),
                Step::Rename(from, to) => fs::rename(root.join(from), root.join(to)).unwrap(),
                Step::Prints(text) => watching.expect_of_watcher(text),
                Step::Says(text) => watching.expect(text),
            }
        }
    }
}

#[test]
fn an_edit_during_the_first_build_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    watcher_package(root, "w-edited", "");
    write(root, "w/src/lib.rs", &source("\"old\""));
    // The compiler has read the source, and does not end before the edit.
    let script = "\"$@\" || exit\ncase \"$*\" in *'--crate-name w_edited'*) echo >../compiled\n\
                  while [ ! -e ../edited ]; do sleep 0.05; done;; esac\n";
    wrap_compiler(root, script);
    let watching = Watching::new(root, &["w", "events.jsonl"]);
    wait_for(&root.join("compiled"));
    write(root, "w/src/lib.rs", &source("\"new\""));
    write(root, "edited", "");
    watching.expect_of_watcher("new");
}

#[test]
fn a_source_that_keeps_changing_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    watcher_package(root, "w-restless", "");
    write(root, "w/src/lib.rs", &source("\"old\""));
    let watching = Watching::new(root, &["w", "events.jsonl"]);
    watching.expect_of_watcher("old");
    watching.expect("waiting");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for count in 0.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                write(root, "w/src/notes.rs", &format!("// {count}"));
                thread::sleep(Duration::from_millis(10));
            }
        });
        // The thread must end, even if this fails.
        let built = std::panic::catch_unwind(|| watching.expect("building"));
        done.store(true, Ordering::Relaxed);
        built.unwrap();
    });
}

#[test]
fn a_link_that_gets_a_new_target_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::write(root.join("bad.wasm"), common::watcher("unreachable")).unwrap();
    fs::write(root.join("good.wasm"), common::watcher(DROP_BOTH)).unwrap();
    write(root, "one.jsonl", "{\"op\":\"set\",\"key\":\"a\",\"value\":\"b\"}\n");
    write(root, "two.jsonl", "{\"op\":\"delete\",\"key\":\"a\"}\n{\"op\":\"delete\",\"key\":\"a\"}\n");
    let link = |target: &str, name: &str| {
        symlink(target, root.join("new")).unwrap();
        fs::rename(root.join("new"), root.join(name)).unwrap();
    };
    link("bad.wasm", "w.wasm");
    link("one.jsonl", "events.jsonl");
    let watching = Watching::new(root, &["w.wasm", "events.jsonl"]);
    watching.expect("1 event, 1 failed");
    watching.expect("waiting");
    link("good.wasm", "w.wasm");
    watching.expect("reloaded: w.wasm");
    watching.expect("waiting");
    link("two.jsonl", "events.jsonl");
    watching.expect("2 events");
}

#[test]
fn a_component_that_is_not_there_yet_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "events.jsonl", "{\"op\":\"set\",\"key\":\"a\",\"value\":\"b\"}\n");
    let watching = Watching::new(root, &["build/w.wasm", "events.jsonl"]);
    watching.expect("cannot read build/w.wasm");
    watching.expect("waiting");
    fs::create_dir(root.join("build")).unwrap();
    fs::write(root.join("build/w.wasm"), common::watcher(DROP_BOTH)).unwrap();
    watching.expect("1 event");
}

#[test]
fn a_component_is_loaded_again_when_its_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        // The file is replaced, as a linker replaces its output.
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
fn a_package_is_built_again_when_its_source_changes() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(&folder, "watched");
    let source = package.join("src/lib.rs");
    let text = fs::read_to_string(&source).unwrap();
    let watching = Watching::new(&package, &[".", "events.jsonl"]);
    watching.expect_of_watcher("1: users/ada is set to a text of length 12");
    watching.expect("waiting for a change");
    fs::write(&source, text.replace("is set to", "no longer is")).unwrap();
    watching.expect("building");
    watching.expect("the store has not changed");
    // It is a fresh instance, which counts again.
    watching.expect_of_watcher("1: users/ada no longer is a text of length 12");
    watching.expect("waiting for a change");
    fs::write(&source, "no Rust").unwrap();
    watching.expect("src/lib.rs:1:");
    watching.expect("the old watcher continues");
}
