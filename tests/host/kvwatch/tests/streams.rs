//! Tests the input and the output of `kvwatch run` with pipes, files and signals.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::DROP_BOTH;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

const SET: &str = "{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\"}\n";

/// Only a fault takes longer.
const PATIENCE: Duration = Duration::from_mins(1);

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

/// The watcher waits for the next event, which does not come.
#[test]
fn a_line_without_an_end_is_there_when_its_event_is_over() {
    let folder = folder(&common::printer("stdout", b"no end", 1));
    let mut child = start(folder.path(), &[]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(SET.as_bytes()).unwrap();
    let mut text = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut text).unwrap();
    assert_eq!(&text, b"no end");
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// Nothing follows that could write the block: not the end of the event, not another event, and not enough bytes.
#[test]
fn a_line_is_there_while_its_event_goes_on_for_ever() {
    let folder = folder(&common::printer_that("stdout", b"begun\n", 1, "(loop (br 0))"));
    for args in [&[][..], &["--fresh"]] {
        let mut child = start(folder.path(), &[args, &["--time", "10m"]].concat());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(SET.as_bytes()).unwrap();
        let (sender, receiver) = mpsc::channel();
        let mut stdout = child.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let mut line = [0; 6];
            let read = stdout.read_exact(&mut line).map(|()| line);
            let _ = sender.send(read);
        });
        let line = receiver.recv_timeout(PATIENCE);
        let ended = child.try_wait().unwrap();
        // The event never ends. Without this, the reader would wait for ever.
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        reader.join().unwrap();
        let line = line.unwrap_or_else(|_| panic!("{args:?}: no output while the event goes on: {}", stderr(&output)));
        assert_eq!(&line.unwrap(), b"begun\n", "{args:?}: {}", stderr(&output));
        assert_eq!(ended, None, "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{args:?}: the event is over");
    }
}

fn stderr_lossy(output: &Output) -> String {
    output.stderr.escape_ascii().to_string()
}

#[test]
fn messages_of_a_watcher_that_continues_are_counted() {
    let folder = folder(&common::printer("stderr", b"it failed\n", 1));
    let output = run(folder.path(), &[], SET.repeat(2));
    let said = stderr(&output);
    assert!(said.contains("\n2 events, 2 handled with messages on standard error\n"), "{said}");
}

#[test]
fn failures_of_the_host_that_a_watcher_hides_are_counted() {
    let folder = folder(&common::reader());
    for (personality, hidden) in [("well-behaved", 0), ("consume-async-refused-silently", 2), ("reads-fail-at-0", 2)] {
        let args = ["--personality", personality];
        let output = run(folder.path(), &args, SET.repeat(2));
        let counted = stderr(&output).starts_with("2 events, 2 handled although a call to the host failed\n");
        assert_eq!((output.status.code(), counted), (Some(0), hidden > 0), "{personality}: {}", stderr(&output));
        let output = run(folder.path(), &[&args[..], &["--json"]].concat(), SET.repeat(2));
        let lines = json(&output);
        for line in &lines[..2] {
            let failures = (hidden > 0).then_some(1);
            assert_eq!((line["host_failures"].as_u64(), &line["handled"]), (failures, &true.into()), "{line}");
        }
        assert_eq!(lines[2]["summary"]["hid_failures"], hidden, "{personality}");
    }
}

/// The JSON objects of standard output.
fn json(output: &Output) -> Vec<Value> {
    str::from_utf8(&output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_few_violations_are_shown_and_the_rest_is_counted() {
    let folder = folder(&common::watcher(&format!(
        "{DROP_BOTH} (loop (call $drop-bucket (i32.const 0)) \
         (local.set $len (i32.add (local.get $len) (i32.const 1))) \
         (br_if 0 (i32.lt_u (local.get $len) (i32.const 100001))))"
    )));
    let args = ["--personality", "bad-handles-noted"];
    let output = run(folder.path(), &args, SET);
    let said = stderr(&output);
    assert!(said.contains("\nand 99936 more violations\n1 event, 100000 violations\n"), "{said}");
    assert_eq!((output.status.code(), said.matches("violation: ").count()), (Some(1), 64));
    let output = run(folder.path(), &[&args[..], &["--json"]].concat(), SET);
    let lines = json(&output);
    assert_eq!(
        (lines[0]["violations"].as_array().unwrap().len(), &lines[0]["violations_missing"]),
        (64, &99936.into())
    );
    assert_eq!(lines[1]["summary"]["violations"], 100_000);
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

/// The watcher fills the pipe of its output, which nobody reads. So the event runs for as long as the test needs.
#[test]
fn a_signal_lets_the_event_in_hand_end_and_a_second_one_does_not() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let folder = folder(&common::printer("stdout", &[b'a'; 4096], 256));
        for patient in [true, false] {
            let mut child = start(folder.path(), &[]);
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(SET.as_bytes()).unwrap();
            child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, signal).unwrap();
            if patient {
                // The note comes because the event is still running.
                let mut note = String::new();
                BufReader::with_capacity(1, child.stderr.as_mut().unwrap()).read_line(&mut note).unwrap();
                assert!(note.starts_with("note: an event is still running"), "{note}");
            } else {
                // Signals that come together are one. The last one finds a process that has ended.
                let begun = Instant::now();
                while child.try_wait().unwrap().is_none() {
                    assert!(begun.elapsed() < PATIENCE, "it goes on after many signals");
                    thread::sleep(Duration::from_millis(20));
                    kill(pid, signal).unwrap();
                }
            }
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
            if patient {
                assert_eq!(output.stdout.len(), (1 << 20) - 1);
                assert!(stderr(&output).starts_with("1 event\n"), "{}", stderr(&output));
            } else {
                assert!(output.stdout.len() < 1 << 20);
                // On a slow machine, the note may come.
                let other = stderr(&output).lines().filter(|line| !line.starts_with("note: ")).count();
                assert_eq!(other, 0, "{}", stderr(&output));
            }
            drop(stdin);
        }
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

/// The store keeps all these contents.
#[test]
fn values_in_files_need_no_open_files() {
    let folder = folder(&common::reader());
    fs::write(folder.path().join("a.png"), "a picture").unwrap();
    let events: Vec<_> = (0..200).map(|n| format!("{{\"op\":\"set\",\"key\":\"{n}\",\"file\":\"a.png\"}}")).collect();
    fs::write(folder.path().join("events.jsonl"), events.join("\n")).unwrap();
    let script = "ulimit -n 64 && exec \"$0\" run w.wasm events.jsonl";
    let program = env!("CARGO_BIN_EXE_kvwatch");
    let output = Command::new("sh").args(["-c", script, program]).current_dir(folder.path()).output().unwrap();
    assert!(stderr(&output).starts_with("200 events\n"), "{}", stderr(&output));
}

/// The pool reserves more addresses than one instance does.
#[cfg(target_os = "linux")]
#[test]
fn a_machine_without_room_for_a_pool_makes_fresh_instances_without_it() {
    let folder = folder(&common::watcher(DROP_BOTH));
    fs::write(folder.path().join("events.jsonl"), SET.repeat(3)).unwrap();
    let script = "ulimit -v 7000000 && exec \"$0\" run w.wasm events.jsonl --fresh";
    let program = env!("CARGO_BIN_EXE_kvwatch");
    let output = Command::new("sh").args(["-c", script, program]).current_dir(folder.path()).output().unwrap();
    assert!(stderr(&output).starts_with("3 events\n"), "{}", stderr(&output));
}

#[test]
fn input_that_is_not_an_event_is_reported_and_not_delivered() {
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
            "warning: standard input:1: the field \"n\" is not part of an event; this field and other unknown fields are ignored\n2 events\n",
        ),
        (b"\xef\xbb\xbf{\"op\":\"delete\",\"key\":\"k\"}\n", &[], 0, "1 event\n"),
    ] {
        let output = run(folder.path(), args, input);
        assert!(stderr(&output).contains(expected), "{expected}: {}", stderr(&output));
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    }
}

/// The first page of this file can never be read.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_read_is_reported_once_and_ends_the_run() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let output = run(folder.path(), &["/proc/self/mem"], "");
    let said = stderr(&output);
    assert!(said.starts_with("error: /proc/self/mem:1: ") && said.contains("Input/output error"), "{said}");
    assert!(said.ends_with("\n0 events, 1 bad line, no line was an event\n"), "{said}");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn json_keeps_every_key_and_counts_the_missing_bytes() {
    let folder = folder(&common::printer("stdout", "€".repeat(1000).as_bytes(), 400));
    let keys = ["", "\0", "\u{1b}[2J", "\u{9b}", "\u{202e}x", "\"\\\n", "😀\u{2028}"];
    let events = keys.map(|key| serde_json::json!({"op": "set", "key": key, "value": ""}).to_string()).join("\n");
    let output = run(folder.path(), &["--json"], events);
    let lines = json(&output);
    for (line, key) in lines.iter().zip(keys) {
        assert_eq!((&line["version"], &line["key"]), (&1.into(), &key.into()));
        let text = line["stdout"].as_str().unwrap();
        assert!(text.chars().all(|c| c == '€'));
        assert_eq!(text.len() as u64 + line["stdout_missing"].as_u64().unwrap(), 1_200_000);
    }
    assert_eq!(lines.len(), keys.len() + 1);
}
