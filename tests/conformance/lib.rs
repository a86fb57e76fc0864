//! Watchers of this repository, built and loaded for its tests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kvwatch::build::{self, Target};
use kvwatch::{Engine, Watcher};

/// A folder of the repository.
#[must_use]
pub fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The watcher in a folder of the repository, built for `target` by the first test that needs it.
///
/// # Panics
///
/// When it does not build, or is no watcher.
#[must_use]
pub fn watcher(path: &str, target: Target) -> Watcher {
    type Watchers = HashMap<(String, Target), Arc<OnceLock<Watcher>>>;
    static WATCHERS: OnceLock<Mutex<Watchers>> = OnceLock::new();
    let watchers = WATCHERS.get_or_init(Mutex::default);
    // The lock is free while a watcher is built: other tests build other watchers.
    let watcher = {
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(watchers.entry((path.to_owned(), target)).or_default())
    };
    let build = || {
        let built = build::package(folder(path), target).expect("it builds");
        let engine = Engine::new().expect("wasmtime has what it needs");
        Watcher::from_bytes(&engine, path, &built.component).expect("it is a watcher")
    };
    watcher.get_or_init(build).clone()
}
