//! Tests `kvwatch check` through the program.

mod common;

use std::fs;
use std::process::{Command, Output, Stdio};

use common::{DROP_BOTH, component, watcher};

fn check(bytes: &[u8], closed: bool) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("w.wasm"), bytes).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
        .args(["check", "w.wasm"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    if closed {
        drop(child.stdout.take());
    }
    child.wait_with_output().unwrap()
}

#[test]
fn shows_the_imports_and_the_parts_of_a_component() {
    let blobs = r#"(import "wasi:blobstore/types@0.2.0" (instance))"#;
    let stdout = r#"(import "wasi:cli/stdout@0.2.9" (instance))"#;
    let environment = r#"(import "wasi:cli/environment@0.2.9" (instance))"#;
    let filesystem = r#"(import "wasi:filesystem/types@0.2.9" (instance))"#;
    let sockets = r#"(import "wasi:sockets/tcp@0.2.9" (instance))"#;
    let adapter = |name: &str| format!("(core module $wit-component:adapter:{name})");
    let wasip1 = |imports: &str| {
        format!("(core module $wit-component:adapter:wasi_snapshot_preview1 (import \"{imports}\" \"f\" (func)))")
    };
    let main = r#"(core module $main (import "wasi:cli/stdout@0.2.0" "f" (func)))"#;
    for (fields, present, absent) in [
        (
            blobs.to_owned(),
            "\nIt imports what kvwatch does not offer:\n  \
             wasi:blobstore/types@0.2.0   with --stub wasi:blobstore/types@0.2.0, only its calls trap\n",
            "all of WASI",
        ),
        (
            format!("{stdout}{environment}{filesystem}{sockets}"),
            "as built for wasm32-wasip2:\n  \
             wasi:cli/stdout@0.2.9\n  \
             wasi:cli/environment@0.2.9    no variables without --env NAME[=VALUE]\n  \
             wasi:filesystem/types@0.2.9   no folders without --dir HOST::GUEST[:ro]\n  \
             wasi:sockets/tcp@0.2.9        every address is refused, and no flag changes this\n",
            "--stub",
        ),
        (blobs.to_owned(), "\nsize ", "fits the world"),
        (stdout.to_owned(), "\nkvwatch offers WASI 0.2 with", "all of WASI"),
        (
            format!("{stdout}{main}{}", wasip1("x")),
            "as built for wasm32-wasip2:\n  wasi:cli/stdout@0.2.9",
            "by the adapter",
        ),
        (format!("{stdout}{}", wasip1("wasi:cli/stdout@0.2.0")), "by the adapter of wasm32-wasip1:", "as built for"),
        (adapter("libc.so") + &adapter("libpython.so"), "\nother adapters: 2 ", "wasip1 adapter"),
        (adapter("libc.so"), "\nThe other adapters are:\n  libc.so\n", "wasip1 adapter"),
        (wasip1("x"), "\nwasip1 adapter ", "other adapters"),
    ] {
        let output = check(&component(&fields), false);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stdout}");
        assert!(stdout.contains(present) && !stdout.contains(absent), "{fields}:\n{stdout}");
        assert!(output.stderr.starts_with(b"error: w.wasm "), "{}", output.stderr.escape_ascii());
    }
}

#[test]
fn a_reader_that_closes_the_pipe_does_not_change_the_exit_code() {
    for (bytes, code) in [(watcher(DROP_BOTH), 0), (component(""), 2)] {
        assert_eq!(check(&bytes, true).status.code(), Some(code));
    }
}

#[test]
fn a_component_with_unknown_imports_is_not_compiled() {
    // The compiler would refuse this module: it has no body that fits its type.
    let output = check(
        &component(r#"(import "wasi:blobstore/types@0.2.0" (instance)) (core module (func (result i32)))"#),
        false,
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("it imports `wasi:blobstore/types@0.2.0`"), "{stderr}");
}

#[test]
fn in_a_pipe_a_name_keeps_its_bytes() {
    let output = check(&component(r#"(core module (@name "\1b[31mred"))"#), false);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("\u{1b}[31mred"), "{}", stdout.escape_debug());
}
