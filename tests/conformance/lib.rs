//! Builds, loads and runs watchers of this repository for its tests.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use kvwatch::build::{self, Target};
use kvwatch::world::Events;
use kvwatch::{Engine, Output, Watched, Watcher};

/// A folder of the repository.
#[must_use]
pub fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The watcher in a folder of the repository, built for `target` by the first test that needs it.
///
/// # Panics
///
/// When it does not build, or is not a watcher.
#[must_use]
pub fn watcher(path: &str, target: Target) -> Watcher {
    type Watchers = HashMap<(String, Target), Arc<OnceLock<Watcher>>>;
    static WATCHERS: OnceLock<Mutex<Watchers>> = OnceLock::new();
    let watchers = WATCHERS.get_or_init(Mutex::default);
    // The lock is free while a watcher is built, so that other tests can build other watchers.
    let watcher = {
        let mut watchers = watchers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(watchers.entry((path.to_owned(), target)).or_default())
    };
    let build = || {
        let built = build::package(folder(path), target).expect("it builds");
        load(path, &built.component)
    };
    watcher.get_or_init(build).clone()
}

/// Loads the component of a watcher. `name` is for messages.
///
/// # Panics
///
/// When the component is not a watcher.
#[must_use]
pub fn load(name: &str, component: &[u8]) -> Watcher {
    let engine = Engine::new().expect("wasmtime has what it needs");
    Watcher::from_bytes(&engine, name, component).unwrap_or_else(|error| panic!("{name} is no watcher: {error}"))
}

/// Delivers the recorded events of an example to a watcher. `name` is for messages.
///
/// # Panics
///
/// When the watcher breaks a rule of the draft, or handles none of the events. An example may fail some of its events on purpose.
pub fn run_recorded(name: &str, watcher: &Watcher, example: &Path) {
    let mut store = Watched::new(watcher.session().output(Output::captured()), "watched");
    let events = File::open(example.join("events.jsonl")).expect("the example has events");
    let mut handled = 0;
    for event in Events::new(BufReader::new(events)) {
        let outcome = store.apply(&event.expect("the events are events"));
        assert!(outcome.violations().is_empty(), "{name}: {:?}", outcome.violations());
        handled += u32::from(outcome.trapped().is_none());
    }
    assert!(handled > 0, "{name} handles nothing");
}
