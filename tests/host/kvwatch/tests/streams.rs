//! Input and output of `kvwatch run` as pipes, files and signals have them.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::DROP_BOTH;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const SET: &str = "{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\"}\n";

fn folder(watcher: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.wasm"), watcher).unwrap();
    folder
}

fn start(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvwatch"));
    command.args(["run", "w.wasm"]).args(args).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(folder: &Path, args: &[&str], input: impl AsRef<[u8]>) -> Output {
    let mut child = start(folder, args);
    let _ = child.stdin.take().unwrap().write_all(input.as_ref());
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_pipe_gets_the_bytes_that_the_watcher_wrote() {
    for (stream, bytes, times) in [
        ("stdout", &b"\xff\xfe\r\n\x1b[2J no end"[..], 1),
        ("stdout", &[b'a'; 4000], 40),
        ("stderr", b"\xff\x1b]0;title\x07 no end", 1),
    ] {
        let folder = folder(&common::printer(stream, bytes, times));
        let output = run(folder.path(), &[], SET);
        let expected = bytes.repeat(times as usize);
        if stream == "stdout" {
            assert!(output.stdout == expected, "{} bytes", output.stdout.len());
        } else {
            assert!(output.stderr.starts_with(&expected), "{}", stderr_lossy(&output));
        }
        assert_eq!(output.status.code(), Some(0));
    }
}

fn stderr_lossy(output: &Output) -> String {
    output.stderr.escape_ascii().to_string()
}

#[test]
fn messages_of_a_watcher_that_goes_on_are_counted() {
    let folder = folder(&common::printer("stderr", b"it failed\n", 1));
    let output = run(folder.path(), &[], SET.repeat(2));
    let said = stderr(&output);
    assert!(said.contains("\n2 events, 2 handled with messages on standard error\n"), "{said}");
}

#[test]
fn a_run_ends_when_nobody_reads() {
    let folder = folder(&common::printer("stdout", b"a line\n", 1));
    let mut child = start(folder.path(), &[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(SET.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "a line\n");
    // Standard input stays open: only the broken pipe can end the run.
    while stdin.write_all(SET.as_bytes()).is_ok() {}
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains(" events\n"), "{}", stderr(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error_with_its_own_code() {
    let folder = folder(&common::printer("stdout", b"a line\n", 1));
    for args in [&[][..], &["--json"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
            .args(["run", "w.wasm", "events.jsonl"])
            .args(args)
            .current_dir({
                fs::write(folder.path().join("events.jsonl"), SET.repeat(3)).unwrap();
                folder.path()
            })
            .stdout(fs::OpenOptions::new().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).starts_with("error: cannot write to standard output"), "{}", stderr(&output));
    }
}

#[test]
fn a_signal_ends_a_run_with_its_summary() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let folder = folder(&common::printer("stdout", b"a line\n", 1));
        let mut child = start(folder.path(), &[]);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(SET.as_bytes()).unwrap();
        let mut line = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).starts_with("1 event\n"), "{}", stderr(&output));
        drop(stdin);
    }
}

#[test]
fn a_named_pipe_is_read_once() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let child = start(folder.path(), &["pipe"]);
    fs::OpenOptions::new().write(true).open(&pipe).unwrap().write_all(SET.repeat(5).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(stderr(&output).starts_with("5 events\n"), "{}", stderr(&output));
}

#[test]
fn input_that_is_no_event_is_told_and_not_delivered() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let long = format!("{{\"op\":\"set\",\"key\":\"k\",\"value\":\"{}\"}}\n{SET}", "v".repeat(5000));
    for (input, args, code, expected) in [
        (
            &b"{\"op\":\"delete\",\"key\":\"\xff\"}\n"[..],
            &[][..],
            0,
            "standard input:1: column 23: byte 0xff is not valid UTF-8",
        ),
        (b"x\ny\n", &[], 0, "\n0 events, 2 bad lines, no line was an event\n"),
        (b"x\ny\n", &["--strict"], 2, "0 events, 1 bad line, no line was an event\n"),
        (long.as_bytes(), &["--max-line", "1KiB"], 0, "\n1 event, 1 bad line\n"),
        (b"", &["."], 2, "error: cannot read events from .: it is a folder; name a file in it\n"),
        (b"", &["none"], 2, "error: cannot read events from none: No such file"),
        (
            b"{\"op\":\"delete\",\"key\":\"k\",\"n\":1}\n{\"op\":\"delete\",\"key\":\"k\",\"n\":1}\n",
            &[],
            0,
            "warning: standard input:1: the field \"n\" is not part of an event; this field and other unknown fields are passed over\n2 events\n",
        ),
        (b"\xef\xbb\xbf{\"op\":\"delete\",\"key\":\"k\"}\n", &[], 0, "1 event\n"),
    ] {
        let output = run(folder.path(), args, input);
        assert!(stderr(&output).contains(expected), "{expected}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    }
}

#[test]
fn json_gives_every_key_back_and_says_what_is_missing() {
    let folder = folder(&common::printer("stdout", "€".repeat(1000).as_bytes(), 400));
    let keys = ["", "\0", "\u{1b}[2J", "\u{9b}", "\u{202e}x", "\"\\\n", "😀\u{2028}"];
    let events = keys.map(|key| serde_json::json!({"op": "set", "key": key, "value": ""}).to_string()).join("\n");
    let output = run(folder.path(), &["--json"], events);
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, key) in lines.iter().zip(keys) {
        assert_eq!((&line["version"], &line["key"]), (&1.into(), &key.into()));
        let text = line["stdout"].as_str().unwrap();
        assert!(text.chars().all(|c| c == '€'));
        assert_eq!(text.len() as u64 + line["stdout_missing"].as_u64().unwrap(), 1_200_000);
    }
    assert_eq!(lines.len(), keys.len() + 1);
}
