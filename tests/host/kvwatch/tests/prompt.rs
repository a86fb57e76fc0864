//! Tests the prompt through a pseudo-terminal.
#![cfg(target_os = "linux")]

mod common;

#[path = "common/acting.rs"]
mod acting;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use common::DROP_BOTH;
use nix::pty::openpty;
use tempfile::TempDir;

/// A program on a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    /// The output that no test has expected yet.
    pending: Vec<u8>,
}

impl Terminal {
    /// A prompt.
    fn start(folder: &Path, args: &[&str], stdout: Option<File>) -> Self {
        let mut terminal = Self::open(folder, &[&["run", "w.wasm"], args].concat(), stdout);
        terminal.expect("watches a store ");
        terminal
    }

    fn open(folder: &Path, args: &[&str], stdout: Option<File>) -> Self {
        let pty = openpty(None, None).unwrap();
        let (keyboard, slave) = (File::from(pty.master), File::from(pty.slave));
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        // `setsid` makes the terminal the controlling one, so that `/dev/tty` is this terminal.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_kvwatch")])
            .args(args)
            .current_dir(folder)
            .env("XDG_STATE_HOME", folder)
            .env("HOME", folder)
            .env("TERM", "xterm")
            .stdin(stdio())
            .stdout(stdout.map_or_else(stdio, Stdio::from))
            .stderr(stdio())
            .spawn()
            .unwrap();
        let mut screen = keyboard.try_clone().unwrap();
        let (send, shown) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                if send.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, shown, pending: Vec::new() }
    }

    fn type_in(&mut self, text: impl AsRef<[u8]>) {
        self.keyboard.write_all(text.as_ref()).unwrap();
    }

    /// Waits until the text is shown. Returns the output before it.
    fn expect(&mut self, text: &str) -> String {
        loop {
            let found = self.pending.windows(text.len()).position(|shown| shown == text.as_bytes());
            if let Some(at) = found {
                let rest = self.pending.split_off(at + text.len());
                let before = std::mem::replace(&mut self.pending, rest);
                return String::from_utf8_lossy(&before[..at]).into_owned();
            }
            match self.shown.recv_timeout(Duration::from_mins(1)) {
                Ok(bytes) => self.pending.extend(bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{text:?} is not in {}", self.pending.escape_ascii())
                }
            }
        }
    }

    fn quit(mut self) {
        self.type_in("quit\r");
        assert!(self.child.wait().unwrap().success());
    }
}

fn folder(watcher: &[u8]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.wasm"), watcher).unwrap();
    folder
}

#[test]
fn commands_are_carried_out() {
    let folder = folder(&common::watcher(&format!(
        "{DROP_BOTH} (if (i32.eq (global.get $events) (i32.const 3)) (then unreachable))"
    )));
    fs::write(folder.path().join("a b.txt"), "from a file").unwrap();
    fs::write(folder.path().join("e.jsonl"), "{\"op\":\"set\",\"key\":\"l\",\"file\":\"a b.txt\"}\n").unwrap();
    let mut terminal = Terminal::start(folder.path(), &[], None);
    for (line, shown) in [
        ("set k hello", "handled in"),
        ("get k", "hello"),
        ("again", "handled in"),
        // The third event of an instance traps.
        ("fresh", "the next event goes to a new instance"),
        ("again", "handled in"),
        ("set f @'a b.txt'", "handled in"),
        ("get f", "from a file"),
        ("again", "on-set of \"f\" trapped"),
        ("load ~/e.jsonl", "1 event of"),
        ("get l", "from a file"),
        ("set n @none", "cannot read the value from the file none"),
        ("set n @/dev/zero", "cannot read the value from the file /dev/zero: it is not a regular file"),
    ] {
        terminal.type_in(format!("{line}\r"));
        terminal.expect(shown);
    }
    terminal.type_in("keys\r");
    terminal.expect("3 keys");
    terminal.type_in("load a\t\r");
    terminal.expect("a\\ b.txt");
    terminal.quit_failed();
}

#[test]
fn the_prompt_shows_what_the_watcher_wrote_and_keeps_the_store() {
    let folder = folder(&acting::acting(
        r"
        (call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
        (call $open-bucket (i32.const 3) (i32.const 5) (global.get $result))
        (local.set $other (call $four))
        (call $increment (local.get $other) (i32.const 2) (i32.const 1) (i64.const 42) (global.get $result))
        (call $drop-bucket (local.get $other))",
    ));
    let store = folder.path().join("store.jsonl");
    fs::write(&store, "{\"op\":\"set\",\"key\":\"before\",\"value\":\"kept\"}\n").unwrap();
    let mut terminal = Terminal::start(folder.path(), &["--store", "store.jsonl"], None);
    for (line, shown) in [
        ("get bef\t", "kept"),
        ("set k hello", "\"n\" of \"watched\" is set to \"1\""),
        ("again", "\"c\" of \"other\" is set to \"84\""),
        ("get n", "2"),
        ("get c other", "84"),
        ("get c", "the store has no key \"c\""),
        ("keys", "3 keys"),
        ("", "other buckets have keys too: \"other\"; `keys '' BUCKET` shows them"),
        ("keys '' other", "1 key in the bucket \"other\""),
        ("help", "keys [PREFIX [BUCKET]]"),
    ] {
        if !line.is_empty() {
            terminal.type_in(format!("{line}\r"));
        }
        terminal.expect(shown);
    }
    // The store is saved before the end: the next prompt is there.
    terminal.expect("kvwatch> ");
    let saved = fs::read_to_string(&store).unwrap();
    for part in ["\"before\",\"value\":\"kept\"", "\"n\",\"value\":\"2\"", "\"other\",\"key\":\"c\",\"value\":\"84\""] {
        assert!(saved.contains(part), "{saved}");
    }
    terminal.quit();
}

impl Terminal {
    /// Quits after an event has failed.
    fn quit_failed(mut self) {
        self.type_in("quit\r");
        assert_eq!(self.child.wait().unwrap().code(), Some(1));
    }
}

#[test]
fn pasted_lines_run_in_turn_up_to_the_first_bad_one() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let mut terminal = Terminal::start(folder.path(), &["--store", "store.jsonl"], None);
    terminal.type_in("\x1b[200~set a 1\rset b 2\r\rnonsense\rset c 3\x1b[201~\r");
    terminal.expect("there is no command `nonsense`");
    terminal.expect("1 line after it did not run");
    // The lines before the bad one are saved, and their keys are completed, when the prompt waits again.
    terminal.expect("kvwatch> ");
    let saved = fs::read_to_string(folder.path().join("store.jsonl")).unwrap_or_default();
    assert!(saved.contains("\"key\":\"a\"") && saved.contains("\"key\":\"b\""), "{saved}");
    terminal.type_in("keys\r");
    let keys = terminal.expect("2 keys");
    assert!(keys.contains("  a") && keys.contains("  b") && !keys.contains("  c"), "{keys}");
    terminal.quit();
}

#[test]
fn a_byte_that_is_not_utf8_refuses_its_line_and_no_more() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let mut terminal = Terminal::start(folder.path(), &[], None);
    terminal.type_in("set a 1\r");
    terminal.expect("handled in");
    terminal.type_in(b"set b \xff\xfe2\r");
    terminal.expect("the line has a byte that is not UTF-8, and is refused");
    terminal.type_in("keys\r");
    terminal.expect("1 key");
    terminal.quit();
}

#[test]
fn two_prompts_keep_both_histories() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let mut prompts = [(); 2].map(|()| Terminal::start(folder.path(), &[], None));
    for (prompt, line) in [(0, "set one 1\r"), (1, "set other 2\r"), (0, "set one 3\r")] {
        prompts[prompt].type_in(line);
        prompts[prompt].expect("handled in");
    }
    prompts.into_iter().for_each(Terminal::quit);
    let history = fs::read_to_string(folder.path().join("kvwatch/history")).unwrap();
    for line in ["set one 1", "set other 2", "set one 3"] {
        assert_eq!(history.lines().filter(|kept| *kept == line).count(), 1, "{history}");
    }
}

#[test]
fn redirected_output_has_no_prompt_in_it() {
    let folder = folder(&common::watcher(DROP_BOTH));
    let out = folder.path().join("out.jsonl");
    let mut terminal = Terminal::start(folder.path(), &["--json"], Some(File::create(&out).unwrap()));
    terminal.expect("kvwatch> ");
    terminal.type_in("set a 1\r");
    terminal.expect("handled in");
    terminal.quit();
    let out = fs::read_to_string(out).unwrap();
    let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["key"], lines.len()), (&"a".into(), 2), "{out}");
}

#[test]
fn a_terminal_shows_control_characters_as_text_and_marks_standard_error() {
    for (stream, shown) in [("stdout", "\\u{1b}]0;owned\\u{7}\\xff"), ("stderr", "│\x1b[0m \\u{1b}]0;owned\\u{7}\\xff")]
    {
        let folder = folder(&common::printer(stream, b"\x1b]0;owned\x07\xff\n", 1));
        let mut terminal = Terminal::start(folder.path(), &[], None);
        terminal.type_in("set k v\r");
        let before = terminal.expect(shown);
        assert!(!before.contains("\x1b]0;"), "{before}");
        terminal.expect("handled in");
        terminal.quit();
    }
}

#[test]
fn keys_contents_and_names_do_not_control_a_terminal() {
    let shown = "\\u{1b}]0;owned";
    let folder = folder(&common::watcher(&format!(
        "{DROP_BOTH} (if (i32.eq (global.get $events) (i32.const 2)) (then unreachable))"
    )));
    let line = |key: &str| format!("{{\"op\":\"set\",\"key\":\"{key}\",\"value\":\"\\u001b]0;owned\"}}\n");
    fs::write(folder.path().join("store.jsonl"), line("plain") + &line("\\u001b]0;owned")).unwrap();
    fs::write(folder.path().join("e.jsonl"), line("\\u001b]0;owned").repeat(2)).unwrap();
    let mut terminal = Terminal::start(folder.path(), &["--store", "store.jsonl"], None);
    for line in ["keys\r", "get plain\r", "load e.jsonl\r"] {
        terminal.type_in(line);
        let before = terminal.expect(shown);
        assert!(!before.contains("\x1b]0;owned"), "{before}");
    }
    let component = common::component(r#"(core module (@name "\1b]0;owned"))"#);
    fs::write(folder.path().join("w.wasm"), component).unwrap();
    let before = Terminal::open(folder.path(), &["check", "w.wasm"], None).expect(shown);
    assert!(!before.contains("\x1b]0;owned"), "{before}");
    terminal.quit_failed();
}

#[test]
fn a_large_component_shows_that_it_is_compiled() {
    let functions = "(func) ".repeat(20_000);
    let folder = folder(&common::watcher(&format!("{DROP_BOTH}) {functions} (func nop")));
    let mut terminal = Terminal::open(folder.path(), &["run", "w.wasm"], None);
    terminal.expect("compiling");
    terminal.expect("watches a store ");
    terminal.quit();
}

#[test]
fn the_values_that_the_watcher_wrote_are_shown() {
    let folder = folder(&common::writer("a value\\1b[2J"));
    let mut terminal = Terminal::start(folder.path(), &[], None);
    terminal.type_in("set k v\r");
    terminal.expect("value 1, 11 bytes: a value\\u{1b}[2J");
    terminal.quit();
}
