//! Tests `kvwatch run` with watchers that act on their store.

#[allow(dead_code, reason = "this test writes its own watchers")]
mod common;

#[path = "common/acting.rs"]
mod acting;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use acting::acting;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Adds 1 to the key `n` of the watched bucket, and 2 to the key `c` of the bucket `other`.
const COUNTS: &str = r"
    (call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
    (call $worked)
    (call $open-bucket (i32.const 3) (i32.const 5) (global.get $result))
    (call $worked)
    (local.set $other (call $four))
    (call $increment (local.get $other) (i32.const 2) (i32.const 1) (i64.const 2) (global.get $result))
    (call $worked)
    (call $drop-bucket (local.get $other))
";

const TWO_SETS: &str =
    "{\"op\":\"set\",\"key\":\"x\",\"value\":\"1\"}\n{\"op\":\"set\",\"key\":\"y\",\"base64\":\"//8=\"}\n";

fn folder(on_set: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.wasm"), acting(on_set)).unwrap();
    fs::write(folder.path().join("events.jsonl"), TWO_SETS).unwrap();
    folder
}

fn start(folder: &Path, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kvwatch"))
        .args(["run", "w.wasm", "events.jsonl"])
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run(folder: &TempDir, args: &[&str]) -> Output {
    start(folder.path(), args).wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn store(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("store.jsonl")).unwrap()
}

#[test]
fn the_report_shows_the_changes_of_a_watcher() {
    let folder = folder(COUNTS);
    let output = run(&folder, &[]);
    let shown = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let expected = "changed: \"n\" of \"watched\" is set to \"1\"\n\
                    changed: \"c\" of \"other\" is set to \"2\"\n\
                    changed: \"n\" of \"watched\" is set to \"2\"\n\
                    changed: \"c\" of \"other\" is set to \"4\"\n\
                    2 events, 4 changes of the store by the watcher\n";
    assert!(shown.starts_with(expected), "{shown}");
}

#[test]
fn the_report_is_bounded() {
    let folder = folder(&COUNTS.repeat(8));
    fs::write(folder.path().join("events.jsonl"), TWO_SETS.repeat(20)).unwrap();
    let shown = stderr(&run(&folder, &[]));
    assert_eq!(shown.matches("changed: ").count(), 100, "{shown}");
    assert_eq!(shown.matches("and 6 more changes\n").count(), 9, "{shown}");
    assert_eq!(shown.matches("further changes are only counted").count(), 1, "{shown}");
    assert!(shown.contains("40 events, 640 changes of the store"), "{shown}");
}

#[test]
fn json_has_the_changes_of_a_watcher() {
    // It sets `a` to the content of `value`, which is empty, and deletes `a`.
    let on_set = r"
        (local.set $value (call $new-value))
        (call $set (local.get $bucket) (i32.const 0) (i32.const 1) (local.get $value) (global.get $result))
        (call $worked)
        (call $drop-value (local.get $value))
        (call $delete (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
        (call $worked)";
    let folder = folder(&format!("{on_set} {COUNTS}"));
    let lines = lines(&run(&folder, &["--json"]));
    let changes = json!([
        {"bucket": "watched", "op": "set", "key": "a", "len": 0, "value": ""},
        {"bucket": "watched", "op": "delete", "key": "a"},
        {"bucket": "watched", "op": "set", "key": "n", "len": 1, "value": "1"},
        {"bucket": "other", "op": "set", "key": "c", "len": 1, "value": "2"},
    ]);
    assert_eq!((&lines[0]["changes"], &lines[0]["version"]), (&changes, &json!(1)));
    assert_eq!((lines[0].get("round"), lines[0].get("changes_missing")), (None, None));
    assert_eq!(lines[2]["summary"]["changes"], 8);
}

#[test]
fn a_store_outlives_the_run() {
    let folder = folder(COUNTS);
    for run_number in 1..=3 {
        let output = run(&folder, &["--store", "store.jsonl", "--fresh"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let expected = format!(
            "{{\"op\":\"set\",\"key\":\"n\",\"value\":\"{}\"}}\n\
             {{\"op\":\"set\",\"key\":\"x\",\"value\":\"1\"}}\n\
             {{\"op\":\"set\",\"key\":\"y\",\"base64\":\"//8=\"}}\n\
             {{\"op\":\"set\",\"bucket\":\"other\",\"key\":\"c\",\"value\":\"{}\"}}\n",
            2 * run_number,
            4 * run_number
        );
        assert_eq!(store(&folder), expected);
    }
    let files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 3, "no temporary file is left");
}

#[test]
fn a_failed_event_keeps_its_changes() {
    let folder = folder(&format!("{COUNTS} unreachable"));
    let output = run(&folder, &["--store", "store.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(store(&folder).contains(r#""key":"n","value":"2""#), "{}", store(&folder));
}

#[test]
fn a_bad_line_of_a_store_loses_nothing() {
    let folder = folder(COUNTS);
    for (line, message) in [
        ("{\"op\":\"delete\",\"key\":\"k\"}", "column 7: a store has only keys that are set; remove this line"),
        ("{\"op\":\"set\",\"key\":\"k\",\"base64\":\"?\"}", "column 33: \"base64\" is not valid base64"),
        ("\u{1b}[2J", "column 1: this is not valid JSON"),
    ] {
        let content = format!("{{\"op\":\"set\",\"key\":\"n\",\"value\":\"41\"}}\n{line}\n");
        fs::write(folder.path().join("store.jsonl"), &content).unwrap();
        let output = run(&folder, &["--store", "store.jsonl"]);
        let shown = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(shown.contains(&format!("store.jsonl:2: {message}")), "{shown}");
        assert!(shown.contains("correct the line, or name another file") && !shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(store(&folder), content);
    }
}

#[test]
fn a_store_that_cannot_be_used_ends_the_run_before_its_first_event() {
    let folder = folder(COUNTS);
    for (path, message) in [
        ("none/store.jsonl", "the store of --store none/store.jsonl: its folder does not exist. Make the folder"),
        (".", "is not a regular file"),
    ] {
        let output = run(&folder, &["--store", path]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(message) && !stderr(&output).contains("events"), "{}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_saved_store_keeps_its_link_and_its_permissions() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = folder(COUNTS);
    let file = folder.path().join("real.jsonl");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.jsonl", folder.path().join("store.jsonl")).unwrap();
    assert_eq!(run(&folder, &["--store", "store.jsonl"]).status.code(), Some(0));
    assert!(folder.path().join("store.jsonl").is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(store(&folder).contains(r#""key":"n","value":"2""#));
}

fn wait_until(happened: impl Fn() -> bool) {
    let waits = (0..600).take_while(|_| !happened()).inspect(|_| thread::sleep(Duration::from_millis(100))).count();
    assert!(waits < 600, "it did not happen within a minute");
}

/// Waits until a file has a text in it.
fn wait_for(path: &Path, text: &str) {
    wait_until(|| fs::read_to_string(path).is_ok_and(|content| content.contains(text)));
}

#[cfg(unix)]
#[test]
fn with_watch_the_store_survives_another_watcher_and_is_saved() {
    let folder = folder(COUNTS);
    let child = start(folder.path(), &["--watch", "--store", "store.jsonl"]);
    let path = folder.path().join("store.jsonl");
    wait_for(&path, r#""key":"n","value":"2""#);
    // The new watcher continues to count in the same store. The old one is gone.
    let twice = COUNTS.replace("(i64.const 1)", "(i64.const 10)");
    fs::write(folder.path().join("w.wasm"), acting(&twice)).unwrap();
    wait_for(&path, r#""key":"n","value":"22""#);
    // Another program changes the file. Its content stays.
    fs::write(&path, "{\"op\":\"set\",\"key\":\"mine\",\"value\":\"\"}\n").unwrap();
    fs::write(folder.path().join("events.jsonl"), TWO_SETS.repeat(2)).unwrap();
    wait_until(|| {
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        names
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("store.jsonl.kvwatch-"))
            .any(|path| fs::read_to_string(path).is_ok_and(|kept| kept.contains(r#""key":"n","value":"62""#)))
    });
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    child.wait_with_output().unwrap();
    assert!(store(&folder).contains("mine"), "{}", store(&folder));
}

#[test]
fn the_changes_of_another_program_are_not_overwritten() {
    use std::io::Write as _;
    let folder = folder(COUNTS);
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
        .args(["run", "w.wasm", "--store", "store.jsonl", "--json"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(TWO_SETS.as_bytes()).unwrap();
    let mut first = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut first).unwrap();
    assert!(first.contains("\"event\":1"), "{first}");
    fs::write(folder.path().join("store.jsonl"), "{\"op\":\"set\",\"key\":\"mine\",\"value\":\"\"}\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let shown = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    assert!(shown.contains("It is not overwritten; the store of this run is in "), "{shown}");
    assert_eq!(store(&folder), "{\"op\":\"set\",\"key\":\"mine\",\"value\":\"\"}\n");
    let kept = shown.split("the store of this run is in ").nth(1).unwrap().lines().next().unwrap();
    let kept = fs::read_to_string(folder.path().join(kept)).unwrap();
    assert!(kept.contains(r#""key":"n","value":"2""#), "{kept}");
}

#[test]
fn own_writes_come_back_up_to_the_depth() {
    let folder = folder(COUNTS);
    let without = run(&folder, &["--json"]);
    assert_eq!(lines(&without).len(), 3);
    let output = run(&folder, &["--json", "--feed", "3"]);
    let lines = lines(&output);
    // Every event changes `n` of the watched bucket. The bucket `other` is not watched.
    let rounds: Vec<_> = lines
        .iter()
        .filter(|line| line.get("event").is_some())
        .map(|line| (line["key"].as_str().unwrap(), line["round"].as_u64().unwrap_or(0)))
        .collect();
    let due = [("x", 0), ("n", 1), ("n", 2), ("n", 3), ("y", 0), ("n", 1), ("n", 2), ("n", 3)];
    assert_eq!(rounds, due);
    let warnings: Vec<_> = lines.iter().filter_map(|line| line.get("warning")?.as_str()).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("--feed 3 has ended: in round 3 the watcher made 1 more change of \"watched\""),
        "{warnings:?}"
    );
    let shown = stderr(&run(&folder, &["--feed", "1"]));
    assert!(shown.contains("that change came back to the watcher, round 1: on-set of \"n\"\n"), "{shown}");
    assert!(shown.contains("warning: --feed 1 has ended: "), "{shown}");
}

#[test]
fn a_watcher_that_ignores_its_own_writes_ends_the_rounds() {
    // It writes only for a key that is longer than `n`.
    let on_set = format!("(if (i32.ne (local.get $len) (i32.const 1)) (then {COUNTS}))");
    let folder = folder(&on_set);
    fs::write(folder.path().join("events.jsonl"), TWO_SETS.replace("\"x\"", "\"xx\"")).unwrap();
    let output = run(&folder, &["--json", "--feed", "9"]);
    let lines = lines(&output);
    assert_eq!(lines.iter().filter(|line| line.get("event").is_some()).count(), 3);
    assert!(lines.iter().all(|line| line.get("warning").is_none()), "{lines:?}");
}

#[test]
fn a_watcher_that_multiplies_its_writes_is_stopped() {
    let folder = folder(&COUNTS.repeat(4));
    fs::write(folder.path().join("events.jsonl"), "{\"op\":\"set\",\"key\":\"x\",\"value\":\"1\"}\n").unwrap();
    let output = run(&folder, &["--json", "--feed", "1000"]);
    let lines = lines(&output);
    assert_eq!(lines.iter().filter(|line| line.get("event").is_some()).count(), 10_001);
    let warning = lines.iter().find_map(|line| line.get("warning")?.as_str()).unwrap();
    assert!(warning.contains("--feed left out ") && warning.contains("at most 10000 changes come back"), "{warning}");
}
