//! Tests that memory holds a large value once, for every way in which it comes. Linux reports the peak memory of the program.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "this test has one watcher")]
mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::Value;

const VALUE: usize = 64 << 20;

/// The memory for buffers and for the first events of a process.
const SLACK: usize = 16 << 20;

/// The most bytes that the process has had in memory.
fn peak(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_large_value_is_in_memory_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.wasm"), common::reader()).unwrap();
    fs::write(folder.path().join("value"), "v".repeat(VALUE)).unwrap();
    for (what, field, text, limit, most) in [
        ("text", "value", "v".repeat(VALUE), "1GiB", VALUE),
        ("text with escapes", "value", "vvvvvv\\n".repeat(VALUE / 8), "1GiB", VALUE),
        ("base64", "base64", "dmFs".repeat(VALUE / 4), "1GiB", VALUE),
        ("a file", "file", "value".to_owned(), "1GiB", 0),
        ("a line past the limit", "value", "v".repeat(VALUE), "1MiB", 0),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
            .args(["run", "w.wasm", "--json", "--max-line", limit])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut event = |field: &str, text: &str| {
            stdin.write_all(format!("{{\"op\":\"set\",\"key\":\"k\",\"{field}\":\"").as_bytes()).unwrap();
            stdin.write_all(text.as_bytes()).unwrap();
            stdin.write_all(b"\"}\n").unwrap();
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            (line, peak(child.id()))
        };
        let (_, before) = event("value", "small");
        let (line, after) = event(field, &text);
        if limit == "1MiB" {
            let message = line["bad_line"]["message"].as_str().unwrap();
            assert!(message.contains("1048576"), "{what}: {line}");
        } else {
            assert_eq!((&line["handled"], &line["host_failures"]), (&true.into(), &Value::Null), "{what}: {line}");
            // It is read in pieces of 64 KiB.
            assert!(line["calls"].as_u64().unwrap() >= 700, "{what}: {line}");
        }
        let grown = after - before;
        assert!(grown < most + SLACK, "{what}: {} MiB for a value of {} MiB", grown >> 20, VALUE >> 20);
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
}
