//! Tests builds of cargo packages: the examples, and packages that build no component.

use std::fs;
use std::path::{Path, PathBuf};

use kvwatch::build::{self, Error, Target};
use kvwatch::world::{Content, Event, Personality};
use kvwatch::{Engine, Output, Provider, Watched, Watcher};
use tempfile::TempDir;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples").join(name)
}

fn load(engine: &Engine, name: &str) -> Watcher {
    let built = build::package(example(name), Target::UnknownUnknown).unwrap();
    Watcher::from_bytes(engine, name, &built.component).unwrap()
}

/// A package with only this source.
fn package(manifest: &str, source: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let manifest =
        format!("[package]\nname = \"tiny\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n{manifest}");
    fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/lib.rs"), source).unwrap();
    dir
}

#[test]
fn an_example_on_every_target() {
    for target in Target::ALL {
        let built = build::package(example("audit-log"), target).unwrap();
        assert!(built.artifact.to_str().unwrap().contains(target.as_str()), "{}", built.artifact.display());
        let watcher = Watcher::from_bytes(&Engine::new().unwrap(), "audit-log", &built.component).unwrap();
        let wasi = watcher.imports().iter().any(|import| import.provider == Provider::Wasi);
        assert_eq!(wasi, target != Target::UnknownUnknown);
        let mut session = watcher.session().output(Output::captured()).build();
        let outcome = session.event(&Event::set("users/ada", "abc"));
        outcome.expect_handled();
        if wasi {
            let line = "set \"users/ada\" bytes=3 \
                        sha256=ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
            assert_eq!((outcome.stdout(), outcome.stderr()), (line, ""));
        }
    }
}

#[test]
fn totals_in_the_store_add_up_with_a_fresh_instance_for_every_event() {
    let engine = Engine::new().unwrap();
    for personality in ["well-behaved", "instance-per-event"] {
        let session = load(&engine, "running-totals").session().personality(Personality::named(personality).unwrap());
        let mut sales = Watched::new(session, "sales");
        for amount in ["1200", "550", "1"] {
            sales.set("sales/oslo", &amount.into()).expect_handled();
        }
        let total = sales.store().get("sales", "totals/oslo").unwrap();
        assert_eq!(total.read(0, 9).unwrap(), b"1751", "{personality}");
    }
}

/// The host keeps only the start of a value that no call can store. A watcher that stores a value needs all of it.
#[test]
fn a_watcher_that_replaces_another_stores_large_values() {
    let engine = Engine::new().unwrap();
    let mut orders = Watched::new(load(&engine, "audit-log").session(), "orders");
    orders.set("orders/1", &"{}".into()).expect_handled();
    orders.session_mut().replace(load(&engine, "quarantine"));
    orders.set("orders/2", &Content::repeat("not an order", 3 << 20)).expect_handled();
    let moved = orders.store().get("orders", "quarantine/orders/2").unwrap();
    assert_eq!((moved.len(), orders.store().get("orders", "orders/2").is_none()), (3 << 20, true));
}

#[test]
fn a_package_that_does_not_build() {
    let dir = package("[lib]\ncrate-type = [\"cdylib\"]\n", "no rust");
    let error = build::package(dir.path(), Target::UnknownUnknown).unwrap_err();
    assert!(matches!(error, Error::Failed { .. }), "{error}");
}

#[test]
fn a_package_that_builds_no_component() {
    let dir = package("", "");
    let error = build::package(dir.path(), Target::UnknownUnknown).unwrap_err();
    assert!(error.to_string().contains("put `crate-type = [\"cdylib\"]` under [lib]"), "{error}");
}

#[test]
fn a_package_without_a_watcher() {
    let dir = package("[lib]\ncrate-type = [\"cdylib\"]\n", "");
    let built = build::package(dir.path(), Target::UnknownUnknown).unwrap();
    let error = Watcher::from_bytes(&Engine::new().unwrap(), "tiny", &built.component).unwrap_err();
    assert!(error.to_string().contains("put `#[handle_watch]` on the watcher"), "{error}");
}

#[test]
fn a_workspace_of_several() {
    let dir = package("[lib]\ncrate-type = [\"cdylib\"]\n", "");
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir_all(root.path().join(name).join("src")).unwrap();
        fs::write(root.path().join(name).join("src/lib.rs"), "").unwrap();
        let manifest = fs::read_to_string(dir.path().join("Cargo.toml")).unwrap();
        let manifest = manifest.replace("tiny", name).replace("[workspace]\n", "");
        fs::write(root.path().join(name).join("Cargo.toml"), manifest).unwrap();
    }
    fs::write(root.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"a\", \"b\"]\n").unwrap();
    let error = build::package(root.path(), Target::UnknownUnknown).unwrap_err();
    assert!(matches!(&error, Error::Several { names, .. } if names.len() == 2), "{error}");
    build::package(root.path().join("b"), Target::UnknownUnknown).unwrap();
}

#[test]
fn bytes_that_are_not_a_module_do_not_become_a_component() {
    assert!(build::encode(b"").is_err());
    assert!(build::encode(&wat::parse_str("(module (import \"env\" \"f\" (func)))").unwrap()).is_err());
}
