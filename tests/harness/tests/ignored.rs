//! A test whose need is not met: ignored by default, failed with `--include-ignored`, and never run.

use std::process::{Command, ExitCode, Output};

use harness::test;

/// The variable that is set when this binary is the subject of its own tests.
const SUBJECT: &str = "HARNESS_SUBJECT";

fn runs() {}

fn fails() {
    panic!("it was run");
}

fn main() -> ExitCode {
    if std::env::var_os(SUBJECT).is_some() {
        let cannot_run = || Err("there is no such tool".to_owned());
        return harness::run([test!(runs), test!(fails).needs(cannot_run)]);
    }
    harness::run([test!(it_is_ignored_with_its_reason), test!(it_fails_where_every_test_must_run)])
}

fn it_is_ignored_with_its_reason() {
    let output = subject(&[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("1 passed; 0 failed; 1 ignored"), "{said}");
    assert!(said.lines().any(|line| line.contains("fails") && line.contains("there is no such tool")), "{said}");
}

fn it_fails_where_every_test_must_run() {
    let output = subject(&["--include-ignored"]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("there is no such tool") && !said.contains("it was run"), "{said}");
}

fn subject(arguments: &[&str]) -> Output {
    Command::new(std::env::current_exe().unwrap()).env(SUBJECT, "1").args(arguments).output().unwrap()
}
