//! Components for `wasm32-unknown-unknown`. They import only the world, so the host needs no WASI.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use wasm_targets::Target;
use wit_component::ComponentEncoder;

const TARGET: Target = Target::UnknownUnknown;

/// The repository of these tests.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder for the output of these tests, inside cargo's target folder.
pub(crate) fn scratch() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/second-host"))
}

/// The component of the package in `folder`, which has the package's name. The first test that needs it builds it, so that no
/// test replaces a component that another test is running.
pub(crate) fn build(folder: &Path) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let name = folder.file_name().and_then(|name| name.to_str()).expect("a package's folder has its name");
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name.to_owned()).or_insert_with(|| build_now(name, folder)).clone()
}

/// The core module from which the component of the package in `folder` was made.
pub(crate) fn module(folder: &Path) -> PathBuf {
    let component = build(folder);
    modules().join(component.file_name().expect("a component is a file"))
}

/// The folder in which cargo puts core modules.
fn modules() -> PathBuf {
    scratch().join("target").join(TARGET.as_str()).join("release")
}

/// Builds as the package's author would.
fn build_now(name: &str, folder: &Path) -> PathBuf {
    wasm_targets::ensure(&[TARGET], &mut crate::say).unwrap();
    crate::say(&format!("building {name}"));
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--target", TARGET.as_str(), "--target-dir"])
        .arg(scratch().join("target"))
        .current_dir(folder)
        .status()
        .expect("cargo, which runs this test, can be run");
    assert!(built.success(), "{name} does not build: cargo says above why");

    let file = format!("{}.wasm", name.replace('-', "_"));
    let module = fs::read(modules().join(&file)).unwrap();
    let component = scratch().join(file);
    fs::write(&component, encode(&module)).unwrap();
    component
}

fn encode(module: &[u8]) -> Vec<u8> {
    // There is no adapter, so this fails if the module imports WASI.
    ComponentEncoder::default().validate(true).module(module).and_then(|mut encoder| encoder.encode()).unwrap()
}
