//! Watchers that have other crates of the component model's world beside the SDK: they must link on every target, with and
//! without optimisation, and the memory that the host asks for must go to the right allocator.
//!
//! The watchers are in the workspace `watchers`. Its lock file keeps their dependencies as they are.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kvwatch::build::{self, Target};
use kvwatch::world::Content;
use kvwatch::{Engine, Watcher};

/// The packages of the watchers, and whether they build for `wasm32-unknown-unknown`. Random numbers come from WASI only.
const WATCHERS: [(&str, bool); 10] = [
    ("allocator", true),
    ("alone", true),
    ("cargo-component", true),
    ("rand-0-9", false),
    ("rand-anyhow-uuid", false),
    ("together", false),
    ("uuid-anyhow", false),
    ("wasi-0-14", false),
    ("wasip2-1", false),
    ("wit-bindgen-0-46", true),
];

/// How the watchers read a payload: see the crate `shared`.
const WAYS: [&str; 3] = ["whole", "read", "chunks"];

#[test]
fn on_wasm32_unknown_unknown() {
    build_and_run(Target::UnknownUnknown);
}

#[test]
fn on_wasm32_wasip1() {
    build_and_run(Target::Wasip1);
}

#[test]
fn on_wasm32_wasip2() {
    build_and_run(Target::Wasip2);
}

/// A new user's project: its own test runs with the test host. The tests above build it and run it as a component.
#[test]
fn the_own_tests_of_a_project_with_rand_anyhow_and_uuid() {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("neighbours");
    let output = cargo(&["test", "--package", "rand-anyhow-uuid", "--target-dir"]).arg(target_dir).output();
    let output = output.expect("cargo can be run");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("test result: ok. 2 passed"), "{stdout}");
}

fn build_and_run(target: Target) {
    wasm_targets::ensure(&[target], &mut |line| eprintln!("{line}")).expect("the target can be installed");
    let mut failures = Vec::new();
    for profile in ["dev", "release"] {
        let names: Vec<_> =
            WATCHERS.iter().filter(|(_, anywhere)| *anywhere || target != Target::UnknownUnknown).collect();
        for (name, module) in names.iter().map(|(name, _)| *name).zip(build(&names, target, profile)) {
            match module {
                Some(module) => run(&format!("{name} ({target}, {profile})"), &module),
                None => failures.push(format!("{name} ({profile})")),
            }
        }
    }
    assert!(failures.is_empty(), "cargo did not build for {target}: {}. Its messages are above", failures.join(", "));
}

/// Builds the watchers with one call of cargo. Returns the file of each watcher that was built.
fn build(watchers: &[&(&str, bool)], target: Target, profile: &str) -> Vec<Option<Vec<u8>>> {
    let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("neighbours");
    let folder = target_dir.join(target.as_str()).join(if profile == "dev" { "debug" } else { profile });
    let file = |name: &str| folder.join(format!("{}.wasm", name.replace('-', "_")));
    for (name, _) in watchers {
        // The output of an earlier build must not replace that of a failed one.
        let _ = fs::remove_file(file(name));
    }
    let mut cargo =
        cargo(&["build", "--keep-going", "--target", target.as_str(), "--profile", profile, "--target-dir"]);
    cargo.arg(&target_dir);
    for (name, _) in watchers {
        cargo.arg("--package").arg(name);
    }
    let output = cargo.output().expect("cargo can be run");
    if !output.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    watchers.iter().map(|(name, _)| fs::read(file(name)).ok()).collect()
}

/// Cargo in the workspace of the watchers, with the settings that an author's cargo has.
fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    cargo.args(arguments).current_dir(workspace()).stdin(Stdio::null());
    // These would replace the settings of the author's workspace.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        cargo.env_remove(variable);
    }
    cargo
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("watchers")
}

/// Runs a watcher on one instance, with lists that land in its buffers and lists that it has to allocate.
fn run(name: &str, binary: &[u8]) {
    let component = match wasm_kind(binary) {
        Kind::Component => binary.to_vec(),
        Kind::Module => build::encode(binary).unwrap_or_else(|error| panic!("{name} is no component: {error}")),
    };
    let engine = Engine::new().expect("wasmtime has what it needs");
    let watcher = Watcher::from_bytes(&engine, name, &component).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut session = watcher.session().build();
    let mut neighbours_bytes = Vec::new();
    // More than one round, so that memory is used again: short keys of one length, and keys that are too long to be kept.
    for round in 0..3 {
        for key_len in [10, 10, 256, 257, 5000] {
            for payload_len in [0, 1, 999, 1000, 1001, 70_000] {
                for way in WAYS {
                    let mark = char::from(b'a' + round);
                    let key = format!("{way}/{mark:>key_len$}", key_len = key_len - way.len() - 1);
                    let payload: Vec<u8> =
                        (0..payload_len).map(|at: u32| at.to_le_bytes()[usize::from(round % 2)]).collect();
                    let outcome = session.set(&key, &Content::from(payload.clone()));
                    assert!(outcome.is_clean(), "{name}: {way}, {key_len}, {payload_len}: {outcome:?}");
                    let [seen_key, seen_payload, of_neighbour] = outcome.values() else {
                        panic!("{name} has written {} values", outcome.values().len())
                    };
                    assert_eq!(seen_key.bytes, key.as_bytes(), "{name}");
                    assert!(seen_payload.bytes == payload, "{name}: {way} of {payload_len} bytes gave others");
                    neighbours_bytes.push(of_neighbour.bytes.clone());
                    let outcome = session.delete(&key);
                    assert!(outcome.is_clean(), "{name}: {outcome:?}");
                    assert_eq!(outcome.values()[0].bytes, key.as_bytes(), "{name}");
                }
            }
        }
    }
    // A neighbour without random numbers writes no bytes. The others call the host, and never get the same bytes twice.
    let calls = neighbours_bytes.len();
    neighbours_bytes.retain(|bytes| !bytes.is_empty());
    let random = neighbours_bytes.len();
    neighbours_bytes.sort();
    neighbours_bytes.dedup();
    assert_eq!(neighbours_bytes.len(), random, "{name}: a random number came twice");
    assert!(random == 0 || random == calls, "{name}: {random} of {calls} calls gave bytes");
}

enum Kind {
    Module,
    Component,
}

/// The header of a binary: a component has 1 in its second half where a core module has 0.
fn wasm_kind(binary: &[u8]) -> Kind {
    match binary {
        [b'\0', b'a', b's', b'm', _, _, 0, 0, ..] => Kind::Module,
        _ => Kind::Component,
    }
}
