//! Watchers of this repository, built and loaded for its tests.

use std::path::{Path, PathBuf};

use kvwatch::build::{self, Target};
use kvwatch::{Engine, Watcher};

/// A folder of the repository.
#[must_use]
pub fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The watcher in a folder of the repository, built for `target`.
///
/// # Panics
///
/// When it does not build, or is no watcher.
#[must_use]
pub fn watcher(path: &str, target: Target) -> Watcher {
    let built = build::package(folder(path), target).expect("it builds");
    let engine = Engine::new().expect("wasmtime has what it needs");
    Watcher::from_bytes(&engine, path, &built.component).expect("it is a watcher")
}
