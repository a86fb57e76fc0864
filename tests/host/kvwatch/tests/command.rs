//! Tests the command line through the program.

mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use common::DROP_BOTH;
use serde_json::Value;
use tempfile::TempDir;

/// The result of a run of the command.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A folder with watchers and events in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn kvwatch(&self, args: &[&str]) -> Ran {
        self.kvwatch_fed(args, "")
    }

    fn kvwatch_fed(&self, args: &[&str], stdin: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The command may not read its input.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn good() -> Folder {
    Folder::new().with("good.wasm", common::watcher(DROP_BOTH))
}

const EVENTS: &str = r#"
{"op":"set","key":"users/ada","value":"hello"}
{"op":"set","key":"avatars/ada","base64":"iVBORw0KGgo="}
{"op":"delete","key":"users/ada"}
"#;

#[test]
fn runs_events_from_a_file() {
    let ran = good().with("events.jsonl", EVENTS).kvwatch(&["run", "good.wasm", "events.jsonl"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), ""), "{}", ran.stderr);
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(lines[0], "3 events");
    assert_eq!(
        &*lines[1].split_whitespace().collect::<Vec<_>>().join(" "),
        "operation events failed p50 p99 longest memory"
    );
    for (line, start) in lines[2..].iter().zip(["set 2 0 ", "delete 1 0 ", "all 3 0 "]) {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(line.starts_with(start) && line.ends_with(" 64 KiB"), "{line}");
    }
    assert_eq!(lines.len(), 5);
}

#[test]
fn runs_events_from_standard_input() {
    for args in [&["run", "good.wasm"][..], &["run", "good.wasm", "-"]] {
        let ran = good().kvwatch_fed(args, EVENTS);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.starts_with("3 events\n"), "{}", ran.stderr);
    }
    let ran = good().kvwatch(&["run", "good.wasm"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), "0 events\n"));
}

#[test]
fn a_trap_fails_its_event_and_no_other() {
    let on_set = format!("(if (i32.eq (local.get $len) (i32.const 3)) (then unreachable)) {DROP_BOTH}");
    let folder = Folder::new().with("bad.wasm", common::watcher(&on_set));
    let events = "{\"op\":\"set\",\"key\":\"bad\",\"value\":\"\"}\n{\"op\":\"set\",\"key\":\"good\",\"value\":\"\"}\n";
    let ran = folder.kvwatch_fed(&["run", "bad.wasm"], &events.repeat(2));
    assert_eq!(ran.code, Some(1));
    let lines: Vec<_> = ran.stderr.lines().collect();
    let error = "error: on-set of \"bad\" trapped: wasm `unreachable` instruction executed";
    assert_eq!(lines[..2], [error, error]);
    assert!(lines[2].starts_with("4 events, 2 failed"), "{}", ran.stderr);
    assert!(lines[3].starts_with("operation ") && lines[4].starts_with("set "), "{}", ran.stderr);
    assert!(lines[5].starts_with("note: this watcher has no standard error"), "{}", ran.stderr);
    assert_eq!(lines.len(), 6);
}

#[test]
fn violations_have_their_rule_and_fail_the_run() {
    let folder = Folder::new().with("leak.wasm", common::watcher("(call $drop-bucket (local.get $bucket))"));
    let ran = folder.kvwatch_fed(&["run", "leak.wasm"], EVENTS);
    assert_eq!(ran.code, Some(1));
    let violation = "violation: on-set of \"users/ada\": payload 4 was never dropped (from `on-set`) [O2]\n";
    assert!(ran.stderr.starts_with(violation), "{}", ran.stderr);
    assert!(ran.stderr.contains("3 events, 2 violations\n"), "{}", ran.stderr);
}

#[test]
fn bad_lines_are_skipped() {
    let folder = good().with("events.jsonl", format!("{EVENTS}nonsense\n{{\"op\":\"delete\",\"key\":\"a\"}}\n"));
    let ran = folder.kvwatch(&["run", "good.wasm", "events.jsonl"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.starts_with("warning: events.jsonl:5: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n4 events, 1 bad line\n"), "{}", ran.stderr);
}

#[test]
fn with_strict_a_bad_line_ends_the_run() {
    let ran = good().kvwatch_fed(&["run", "good.wasm", "--strict"], "nonsense\n{\"op\":\"delete\",\"key\":\"a\"}\n");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("error: standard input:1: "), "{}", ran.stderr);
    assert!(ran.stderr.ends_with("\n0 events, 1 bad line, no line was an event\n"), "{}", ran.stderr);
}

#[test]
fn events_that_cannot_be_read_end_the_run() {
    let ran = good().kvwatch(&["run", "good.wasm", "."]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let ran = good().kvwatch(&["run", "good.wasm", "none.jsonl"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.starts_with("error: cannot read events from none.jsonl: "), "{}", ran.stderr);
}

#[test]
fn a_watcher_that_cannot_be_loaded_ends_the_run() {
    let folder = Folder::new().with("core.wasm", wat::parse_str("(module)").unwrap());
    for (watcher, message) in [
        ("core.wasm", "error: core.wasm is a core module, not a component"),
        ("none.wasm", "error: cannot read none.wasm: "),
        (".", "error: there is no cargo package in .: "),
    ] {
        for command in ["run", "check"] {
            let ran = folder.kvwatch(&[command, watcher]);
            assert_eq!((ran.code, &*ran.stdout), (Some(2), ""));
            assert!(ran.stderr.starts_with(message), "{}", ran.stderr);
        }
    }
}

#[test]
fn limits_are_named_when_they_are_hit() {
    let looping = Folder::new().with("loop.wasm", common::watcher("(loop (br 0))"));
    let growing = format!("(if (i32.eq (memory.grow (i32.const 9)) (i32.const -1)) (then unreachable)) {DROP_BOTH}");
    let growing = Folder::new().with("grow.wasm", common::watcher(&growing));
    for (folder, args, message) in [
        (&looping, &["run", "loop.wasm", "--time", "50ms"], "it ran into the time limit of 50ms"),
        (&looping, &["run", "loop.wasm", "--fuel", "5000"], "it ran into the fuel limit of 5000"),
        (&growing, &["run", "grow.wasm", "--memory", "512KiB"], "the memory limit of 512 KiB refused it memory"),
    ] {
        let ran = folder.kvwatch_fed(args, EVENTS);
        assert_eq!(ran.code, Some(1));
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
        assert!(ran.stderr.contains("3 events, 2 failed\n"), "{}", ran.stderr);
    }
}

#[test]
fn every_event_may_have_a_fresh_instance() {
    let on_set = format!("{DROP_BOTH} (if (i32.eq (global.get $events) (i32.const 2)) (then unreachable))");
    let folder =
        Folder::new().with("once.wasm", common::watcher(&on_set)).with("fresh.json", r#"{"instance":"per-event"}"#);
    assert_eq!(folder.kvwatch_fed(&["run", "once.wasm"], EVENTS).code, Some(1));
    for args in [
        &["run", "once.wasm", "--fresh"][..],
        &["run", "once.wasm", "--personality", "instance-per-event"],
        &["run", "once.wasm", "--personality", "fresh.json"],
    ] {
        let ran = folder.kvwatch_fed(args, EVENTS);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for (args, message) in [
        (&["run", "good.wasm", "--personality", "nobody"][..], "\n  hostile\n"),
        (&["run", "good.wasm", "--time", "5"], "a time is a whole number of ms, s or m"),
        (&["run", "good.wasm", "--memory", "5MB"], "as 64MiB"),
        (&["run", "good.wasm", "--fuel", "much"], "write a whole number"),
        (&["run", "good.wasm", "--memory", "64"], "for example 64MiB"),
        (&["run", "good.wasm", "--env", "=x"], "the name of the variable is missing"),
        (&["run", "good.wasm", "--package", "good"], "good.wasm is a component: name the folder of a package"),
        (&["run", "good.wasm", "--target", "wasm32-wasi"], "wasm32-unknown-unknown, wasm32-wasip1, wasm32-wasip2"),
        (&["run", "good.wasm", "--env", "NO_SUCH_VARIABLE"], "give the value, as `--env NO_SUCH_VARIABLE=VALUE`"),
        (&["run", "good.wasm", "--dir", "data"], "write `--dir HOST::GUEST` or `--dir HOST::GUEST:ro`"),
        (&["run", "good.wasm", "--dir", "none::/data"], "cannot read none"),
        (&["run"], "<WATCHER>"),
    ] {
        let ran = good().kvwatch(args);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains(message), "{}", ran.stderr);
    }
}

#[test]
fn json_is_an_object_an_event_and_a_summary() {
    let on_set =
        "(if (i32.eq (local.get $len) (i32.const 11)) (then unreachable)) (call $drop-bucket (local.get $bucket))";
    let folder = Folder::new().with("w.wasm", common::watcher(on_set));
    let ran = folder.kvwatch_fed(&["run", "w.wasm", "--json", "--fuel", "100000"], &format!("{EVENTS}nonsense\n"));
    assert_eq!((ran.code, &*ran.stderr), (Some(1), ""));
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(
        (&lines[0]["event"], &lines[0]["op"], &lines[0]["key"]),
        (&1.into(), &"set".into(), &"users/ada".into())
    );
    assert_eq!((&lines[0]["handled"], lines[0].get("trap")), (&true.into(), None));
    assert_eq!((&lines[0]["violations"][0]["rule"], &lines[0]["calls"]), (&"O2".into(), &1.into()));
    assert!(lines[0]["fuel"].as_u64().unwrap() > 0);
    let trap = "on-set of \"avatars/ada\" trapped: wasm `unreachable` instruction executed";
    assert_eq!((&lines[1]["handled"], &lines[1]["trap"]["message"]), (&false.into(), &trap.into()));
    assert_eq!(lines[2]["op"], "delete");
    assert_eq!((&lines[3]["bad_line"]["source"], &lines[3]["bad_line"]["line"]), (&"standard input".into(), &5.into()));
    let summary = &lines[4]["summary"];
    assert_eq!((&summary["events"], &summary["failed"], &summary["violations"]), (&3.into(), &1.into(), &1.into()));
    assert_eq!(summary["peak_memory"], 65536);
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_error() {
    let folder = good().with("events.jsonl", "{\"op\":\"delete\",\"key\":\"a\"}\n".repeat(10_000));
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
        .args(["run", "good.wasm", "events.jsonl", "--json"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
}

#[test]
fn checks_a_watcher() {
    let ran = good().kvwatch(&["check", "good.wasm"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
    assert!(ran.stdout.starts_with("good.wasm fits the world wasi:keyvalue/inbound-keyvalue\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\n  wasi:keyvalue/types\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nIt imports beyond the world: nothing\n"), "{}", ran.stdout);
}

#[test]
fn shows_its_version() {
    let ran = Folder::new().kvwatch(&["--version"]);
    assert_eq!((ran.code, &*ran.stdout), (Some(0), concat!("kvwatch ", env!("CARGO_PKG_VERSION"), "\n")));
    let ran = Folder::new().kvwatch(&["run", "--help"]);
    assert!(ran.stdout.contains("130  Ctrl-C ended the run\n  143  SIGTERM ended the run"), "{}", ran.stdout);
}

#[test]
fn summaries_have_the_same_numbers_for_programs() {
    let on_set = format!("(if (i32.eq (local.get $len) (i32.const 11)) (then unreachable)) {DROP_BOTH}");
    let folder = Folder::new().with("w.wasm", common::watcher(&on_set));
    let ran = folder.kvwatch_fed(&["run", "w.wasm", "--json"], EVENTS);
    let summary: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    let operations = &summary["summary"]["operations"];
    for (name, events, failed) in [("set", 2, 1), ("delete", 1, 0)] {
        let operation = &operations[name];
        let number = |field: &str| operation[field].as_u64().unwrap_or_else(|| panic!("{field} of {operation}"));
        assert_eq!((number("events"), number("failed"), number("violations")), (events, failed, 0));
        let times = ["p50_nanoseconds", "p99_nanoseconds", "longest_nanoseconds"].map(number);
        assert!(times[0] > 0 && times.is_sorted(), "{times:?}");
        assert_eq!(number("peak_memory"), 65536);
    }
}

#[test]
fn bad_lines_have_their_line_and_column() {
    let ran = good().kvwatch_fed(&["run", "good.wasm"], "\n{\"op\":\"set\",\"key\":5}\n");
    let message = "warning: standard input:2: column 19: the field \"key\" is not a string; write it as";
    assert!(ran.stderr.starts_with(message), "{}", ran.stderr);
}

#[test]
fn check_shows_the_size_of_each_part() {
    let watcher = common::watcher(DROP_BOTH);
    let ran = Folder::new().with("w.wasm", &watcher).kvwatch(&["check", "w.wasm"]);
    let table: Vec<Vec<&str>> = ran
        .stdout
        .lines()
        .skip_while(|line| !line.starts_with("size"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(table[0], ["size", "code", "data", "custom", "rest", "all"]);
    assert!(table[1].starts_with(&["module"]), "{}", ran.stdout);
    assert!(table[2].starts_with(&["around", "them"]), "{}", ran.stdout);
    let all = table.last().unwrap();
    let bytes = if watcher.len() < 1024 {
        format!("{} bytes", watcher.len())
    } else {
        kvwatch::ByteSize(watcher.len() as u64).to_string()
    };
    assert!(all.join(" ").ends_with(&bytes), "{}", ran.stdout);
}

#[test]
fn completes_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = Folder::new().kvwatch(&["completions", shell]);
        assert_eq!((ran.code, &*ran.stderr), (Some(0), ""));
        for word in ["kvwatch", "completions", "personality", "watch"] {
            assert!(ran.stdout.contains(word), "{shell} lacks {word}");
        }
    }
    let ran = Folder::new().kvwatch(&["completions", "bash"]);
    assert!(ran.stdout.contains("reads-one-byte") && ran.stdout.contains("wasm32-wasip1"), "{}", ran.stdout);
    assert_eq!(Folder::new().kvwatch(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn colours_can_be_turned_on_and_off() {
    for (variables, coloured) in
        [(&[][..], false), (&[("CLICOLOR_FORCE", "1")], true), (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false)]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvwatch"));
        command.args(["check", "none.wasm"]).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.stderr.starts_with(b"\x1b[1m"), coloured, "{variables:?}: {}", output.stderr.escape_ascii());
    }
}

#[test]
fn a_trap_shows_the_functions_that_have_names() {
    let parse = "$_ZN7invoice5parse17h0123456789abcdefE";
    let on_set = format!("(call $check)) (func $check (call {parse})) (func {parse} unreachable");
    let folder = Folder::new().with("bad.wasm", common::watcher(&on_set));
    let event = "{\"op\":\"set\",\"key\":\"k\",\"value\":\"\"}\n";
    let ran = folder.kvwatch_fed(&["run", "bad.wasm"], event);
    assert!(ran.stderr.contains("trapped: wasm `unreachable`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n    in invoice::parse\n    in check\n"), "{}", ran.stderr);
    let ran = folder.kvwatch_fed(&["run", "bad.wasm", "--json"], event);
    let line: Value = serde_json::from_str(ran.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(line["trap"]["backtrace"], serde_json::json!(["invoice::parse", "check"]));
}

#[test]
fn a_stub_replaces_an_interface_that_kvwatch_does_not_offer() {
    let folder = Folder::new().with("mailer.wasm", common::mailer());
    for command in ["run", "check"] {
        let ran = folder.kvwatch_fed(&[command, "mailer.wasm"], EVENTS);
        assert_eq!(ran.code, Some(2));
        assert!(ran.stderr.contains("it imports `acme:mail/send@1.2.0`"), "{}", ran.stderr);
    }
    let ran =
        folder.kvwatch_fed(&["run", "mailer.wasm", "--stub", "acme:mail/send", "--stub", "acme:mail/sent"], EVENTS);
    assert_eq!(ran.code, Some(1));
    let warning = "--stub acme:mail/sent has no effect: it replaces no import of mailer.wasm;";
    assert_eq!(ran.stderr.matches("has no effect").count(), 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(warning), "{}", ran.stderr);
    let error = "it called `send` of `acme:mail/send@1.2.0`, which is only a stub here";
    assert_eq!(ran.stderr.matches(error).count(), 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("3 events, 2 failed, 1 violation\n"), "{}", ran.stderr);
}
