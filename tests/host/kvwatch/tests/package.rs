//! Tests a package that `kvwatch new` has made.

#[path = "common/packages.rs"]
mod packages;

use std::fs;
use std::path::Path;
use std::process::Command;

use packages::{kvwatch, new, package};

#[test]
fn a_new_package_passes_its_test_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(&folder, "new-watcher");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package");
    let cargo = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(&package).env("CARGO_TARGET_DIR", &target);
        cargo
    };
    let output = cargo().arg("test").output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("2 passed"), "{stdout}");
    assert!(cargo().args(["fmt", "--check"]).status().unwrap().success());

    for (target, origin) in [
        ("wasm32-wasip2", "beyond the world, as built for wasm32-wasip2:"),
        ("wasm32-wasip1", "beyond the world, by the adapter of wasm32-wasip1:"),
        ("wasm32-unknown-unknown", "beyond the world: nothing"),
    ] {
        let output = kvwatch(&package).args(["check", ".", "--target", target]).output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(stdout.matches("beyond the world").count(), 1, "{stdout}");
        assert!(stdout.contains(origin) && stdout.contains("\nmain, the watcher "), "{stdout}");
    }

    let output = kvwatch(&package).args(["run", ".", "events.jsonl"]).output().unwrap();
    assert!(output.status.success(), "{}", output.stderr.escape_ascii());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "1: users/ada is set to a text of length 12\n2: users/grace is set to a text of length 12\n3: users/ada is deleted\n"
    );
}

#[test]
fn a_new_package_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    let output = new(folder.path(), "mine");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.starts_with(b"error: mine exists already, and was not changed"));
    assert_eq!(fs::read_dir(folder.path().join("mine")).unwrap().count(), 0);
}

#[test]
fn a_new_package_has_a_name_that_cargo_takes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, advice) in
        [("my watcher", "how about `my-watcher`?"), ("9lives", "how about `watcher-9lives`?"), ("..", "has no name")]
    {
        let output = new(folder.path(), name);
        assert_eq!(output.status.code(), Some(2));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(advice), "{stderr}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(new(folder.path(), "deep/er/watcher").status.success());
    let manifest = fs::read_to_string(folder.path().join("deep/er/watcher/Cargo.toml")).unwrap();
    assert!(manifest.contains("name = \"watcher\"\n"), "{manifest}");
}
