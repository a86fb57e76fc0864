//! `--watch` and the builds of `run` and `check`, through the program. No test depends on how long something takes: each waits for
//! a line, with a limit that only a fault reaches.
#![cfg(unix)]

mod common;
#[path = "common/packages.rs"]
mod packages;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use common::DROP_BOTH;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packages::{kvwatch, package, repository};

/// Long enough for a package and all that it depends on to be built on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

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

/// A watcher that prints the value of an expression at each set.
fn source(expression: &str) -> String {
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
fn watcher_package(root: &Path, name: &str, more: &str) {
    write(root, "w/Cargo.toml", &manifest(name, &format!("[workspace]\n{more}")));
    fs::copy(repository().join("Cargo.lock"), root.join("w/Cargo.lock")).unwrap();
    write(root, "events.jsonl", "{\"op\":\"set\",\"key\":\"a\",\"value\":\"b\"}\n");
}

fn manifest(name: &str, more: &str) -> String {
    let lib = if more.contains("[lib]") { "" } else { "[lib]\ncrate-type = [\"cdylib\"]\n" };
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{lib}{more}\n\
         [dependencies.inbound-keyvalue]\npath = '{}'\n",
        repository().display()
    )
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
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

/// What happens to a package, its name, more lines of its manifest, its files at the start, and the steps.
type Row = (&'static str, &'static str, &'static str, Vec<(&'static str, String)>, Vec<Step>);

fn rows() -> Vec<Row> {
    use Step::{Prints, Rename, Says, Write};

    let included = || source("include_str!(\"../../outside.txt\").trim()");
    let dependency = "[dependencies.inner]\npath = '../inner'\n";
    let inner = |text: &str| format!("pub const TEXT: &str = \"{text}\";");
    let inner_manifest =
        || "[package]\nname = \"inner\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n".to_owned();
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
            dependency,
            vec![
                ("w/src/lib.rs", source("inner::TEXT")),
                ("inner/Cargo.toml", inner_manifest()),
                ("inner/src/lib.rs", inner("old")),
            ],
            vec![Prints("old"), Says("waiting"), Write("inner/src/lib.rs", inner("new")), Prints("new")],
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
                Says("goes on as it was"),
                Write("away/lib.rs", source("\"new\"")),
                Rename("away", "w/src"),
                Prints("new"),
                Says("waiting"),
                Rename("w/src", "away"),
                Says("goes on as it was"),
                Write("away/lib.rs", source("\"newest\"")),
                Rename("away", "w/src"),
                Prints("newest"),
            ],
        ),
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
            dependency,
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
            dependency,
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
    for (what, name, more, files, steps) in rows() {
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

/// Lets a script run in place of the compiler of the package `w`, with the compiler's command as its arguments.
fn wrap_compiler(root: &Path, script: &str) {
    let path = root.join("rustc-wrapper");
    fs::write(&path, format!("#!/bin/sh\ncd '{}' || exit 1\n{script}", root.join("w").display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    write(root, "w/.cargo/config.toml", &format!("[build]\nrustc-workspace-wrapper = '{}'\n", path.display()));
}

/// Waits until the file has some text, and returns it.
fn wait_for(path: &Path) -> String {
    let begun = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim_end().to_owned(),
            _ if begun.elapsed() > PATIENCE => panic!("{} is not written", path.display()),
            _ => thread::sleep(Duration::from_millis(20)),
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
fn the_compiler_ends_with_kvwatch() {
    let commands: [&[&str]; 3] =
        [&["run", "w", "events.jsonl"], &["run", "w", "events.jsonl", "--watch"], &["check", "w"]];
    for (args, (signal, code)) in
        commands.into_iter().zip([(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGTERM, 143)])
    {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        watcher_package(root, "w-endless", "");
        write(root, "w/src/lib.rs", &source("\"old\""));
        let script =
            "case \"$*\" in *'--crate-name w_endless'*) echo $$ >../pid; exec sleep 1000;; esac\nexec \"$@\"\n";
        wrap_compiler(root, script);
        let mut command = kvwatch(root);
        let mut child = command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let compiler = Pid::from_raw(wait_for(&root.join("pid")).parse().unwrap());
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{args:?}");
        let begun = Instant::now();
        while is_running(compiler) {
            if begun.elapsed() > PATIENCE {
                let _ = kill(compiler, Signal::SIGKILL);
                panic!("the compiler goes on after {args:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether the process runs. One that has ended and that nobody has waited for does not.
fn is_running(process: Pid) -> bool {
    if kill(process, None) == Err(Errno::ESRCH) {
        return false;
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(cfg!(not(target_os = "linux")), |stat| !stat.contains(") Z "))
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

/// The exit code, standard output and standard error of a command.
fn ran(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_target_is_looked_for_in_the_toolchain_of_the_package() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    watcher_package(root, "w-toolchain", "");
    write(root, "w/src/lib.rs", &source("\"old\""));
    let sysroot = ran(Command::new("rustc").args(["--print", "sysroot"])).1;
    // `rustc` chooses the toolchain by the folder in which it runs.
    let script =
        format!("#!/bin/sh\necho \"$PWD $*\" >>'{}/log'\nexec '{}/bin/rustc' \"$@\"\n", root.display(), sysroot.trim());
    write(root, "bin/rustc", &script);
    fs::set_permissions(root.join("bin/rustc"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", root.join("bin").display(), std::env::var("PATH").unwrap());
    let (code, _, stderr) = ran(kvwatch(root).args(["check", "w"]).env("PATH", path).env_remove("RUSTC"));
    assert_eq!(code, Some(0), "{stderr}");
    let log = fs::read_to_string(root.join("log")).unwrap();
    let asked: Vec<_> = log.lines().filter_map(|line| line.strip_suffix(" --print sysroot")).collect();
    assert!(!asked.is_empty(), "{log}");
    let package = root.join("w").canonicalize().unwrap();
    assert!(asked.iter().all(|folder| PathBuf::from(folder).canonicalize().unwrap() == package), "{log}");
}

#[test]
fn a_manifest_can_be_named_and_cargo_gets_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    watcher_package(root, "w-options", "[features]\nloud = []\nproud = []\n[profile.quick]\ninherits = \"release\"\n");
    write(
        root,
        "w/src/lib.rs",
        &source("(cfg!(feature = \"loud\"), cfg!(feature = \"proud\"))").replace("{}\"", "{:?}\""),
    );
    for (features, printed) in [
        (&[][..], "(false, false)\n"),
        (&["--features", "loud"], "(true, false)\n"),
        (&["--features", "loud,proud"], "(true, true)\n"),
        (&["--features", "proud", "--features", "loud"], "(true, true)\n"),
    ] {
        let (code, stdout, stderr) = ran(kvwatch(root).args(["run", "w/Cargo.toml", "events.jsonl"]).args(features));
        assert_eq!((code, &*stdout), (Some(0), printed), "{stderr}");
    }
    let (code, stdout, stderr) = ran(kvwatch(root).args(["check", "w/Cargo.toml", "--profile", "quick"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("/quick/w_options.wasm fits"), "{stdout}");
    for (option, message) in [("--features=none", "none"), ("--profile=none", "profile `none` is not defined")] {
        let (code, _, stderr) = ran(kvwatch(root).args(["run", "w/Cargo.toml", "events.jsonl", option]));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn a_workspace_of_several_watchers_asks_which_before_it_builds() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\", \"tool\"]\n");
    fs::copy(repository().join("Cargo.lock"), root.join("Cargo.lock")).unwrap();
    write(root, "events.jsonl", "{\"op\":\"set\",\"key\":\"a\",\"value\":\"b\"}\n");
    for name in ["one", "two"] {
        write(root, &format!("{name}/Cargo.toml"), &manifest(&format!("w-{name}"), ""));
        write(root, &format!("{name}/src/lib.rs"), &source(&format!("\"{name}\"")));
    }
    write(root, "tool/Cargo.toml", "[package]\nname = \"w-tool\"\nversion = \"0.0.0\"\nedition = \"2024\"\n");
    write(root, "tool/src/main.rs", "fn main() {}");
    for (package, error) in [
        (&[][..], "choose one with `-p`, from w-one, w-two"),
        (&["-p", "w-three"], "has no package \"w-three\": it has w-one, w-two, w-tool"),
        (&["-p", "w-tool"], "builds a program, not a component: move the watcher from src/main.rs to src/lib.rs"),
        (&["-p", "w-tool"], "put `crate-type = [\"cdylib\"]` under [lib]"),
    ] {
        let (code, _, stderr) = ran(kvwatch(root).args(["run", ".", "events.jsonl"]).args(package));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(error) && !stderr.contains("Compiling"), "{stderr}");
    }
    let (code, stdout, stderr) = ran(kvwatch(root).args(["run", ".", "events.jsonl", "-p", "w-two"]));
    assert_eq!((code, &*stdout), (Some(0), "two\n"), "{stderr}");
    assert!(!stderr.contains("w-one"), "{stderr}");
}

#[test]
fn a_component_is_loaded_again_when_its_file_changes() {
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
fn a_package_is_built_again_when_its_source_changes() {
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
    // It is a fresh instance, which counts again.
    watching.expect_of_watcher("1: users/ada no longer is text; 12 characters");
    watching.expect("waiting for a change");
    fs::write(&source, "no Rust").unwrap();
    watching.expect("src/lib.rs:1:");
    watching.expect("the watcher goes on as it was");
}
