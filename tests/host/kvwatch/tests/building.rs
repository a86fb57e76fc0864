//! Tests the builds of `run` and `check` through the program.
#![cfg(unix)]

#[path = "common/packages.rs"]
mod packages;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packages::{
    PATIENCE, kvwatch, make_executable, manifest, repository, source, wait_for, watcher_package, wrap_compiler, write,
};

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

/// Whether the process runs. A process that has ended does not run, even if no other process has waited for it.
fn is_running(process: Pid) -> bool {
    if kill(process, None) == Err(Errno::ESRCH) {
        return false;
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.map_or(cfg!(not(target_os = "linux")), |stat| !stat.contains(") Z "))
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
    make_executable(&root.join("bin/rustc"));
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
fn a_workspace_of_several_watchers_is_refused_before_the_build() {
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
fn a_watcher_reaches_only_its_grants() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    watcher_package(root, "w-granted", "");
    let reaches = "(std::env::var(\"WORD\").ok(), std::fs::read_to_string(\"/data/in.txt\").ok(), \
                   std::fs::write(\"/data/out.txt\", \"written\").is_ok())";
    write(root, "w/src/lib.rs", &source(reaches).replace("{}\"", "{:?}\""));
    write(root, "data/in.txt", "read");
    for (options, printed, written) in [
        (&[][..], "(None, None, false)\n", false),
        (&["--env", "WORD=given"], "(Some(\"given\"), None, false)\n", false),
        (&["--env", "WORD"], "(Some(\"inherited\"), None, false)\n", false),
        (&["--dir", "data::/other"], "(None, None, false)\n", false),
        (&["--dir", "data::/data:ro"], "(None, Some(\"read\"), false)\n", false),
        (&["--dir", "data::/data"], "(None, Some(\"read\"), true)\n", true),
    ] {
        let (code, stdout, stderr) =
            ran(kvwatch(root).args(["run", "w", "events.jsonl"]).args(options).env("WORD", "inherited"));
        assert_eq!((code, &*stdout), (Some(0), printed), "{options:?}: {stderr}");
        assert_eq!(root.join("data/out.txt").exists(), written, "{options:?}");
    }
}
