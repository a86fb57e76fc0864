//! `--watch`: builds a watcher anew when its source changes, on a thread beside the one that runs it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use kvwatch::{Engine, Watcher};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::watcher::{Component, WatcherArgs, cargo_status};
use super::{Result, chain, style};

/// Whoever saves several files, or one in several steps, is done after so long.
const QUIET: Duration = Duration::from_millis(100);

/// What has changed.
pub(crate) enum Change {
    /// The watcher, and this is the new one.
    Watcher(Box<Watcher>),
    /// The file with the events.
    Events,
}

/// The files that are watched.
pub(crate) struct Watch {
    changes: Receiver<Change>,
    /// Watches as long as it lives.
    _files: RecommendedWatcher,
}

/// Which files mean what.
#[derive(Clone, Debug)]
struct Files {
    /// The folder of the package, or the file of the component.
    watcher: PathBuf,
    is_package: bool,
    events: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concerns {
    Watcher,
    Events,
}

impl Watch {
    /// Watches the source of the watcher that `loaded` is, and the file with the events, if there is one.
    pub(crate) fn new(args: &WatcherArgs, engine: &Engine, loaded: Component, events: Option<&Path>) -> Result<Self> {
        let files = Files {
            watcher: args.path().canonicalize()?,
            is_package: args.path().is_dir(),
            events: events.map(Path::canonicalize).transpose()?,
        };
        let (notice, noticed) = mpsc::channel();
        let concerned = files.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths {
                if let Some(concerns) = concerned.concerns(&path) {
                    // Whoever took them is gone, and so is the run.
                    let _ = notice.send((concerns, path));
                }
            }
        })?;
        for (path, mode) in files.places() {
            watcher.watch(&path, mode)?;
        }
        let (send, changes) = mpsc::channel();
        let rebuild = Rebuild { args: args.clone(), engine: engine.clone(), loaded, send };
        thread::Builder::new().name("kvwatch watch".into()).spawn(move || rebuild.run(&noticed))?;
        Ok(Self { changes, _files: watcher })
    }

    /// The newest watcher, if there is one that was not taken yet.
    pub(crate) fn ready(&self) -> Option<Watcher> {
        let watcher = |change| if let Change::Watcher(watcher) = change { Some(*watcher) } else { None };
        self.changes.try_iter().filter_map(watcher).last()
    }

    /// Waits for a change.
    pub(crate) fn wait(&self) -> Result<Change> {
        Ok(self.changes.recv()?)
    }
}

impl Files {
    /// What is to be watched. Editors replace files: it is folders that are watched.
    fn places(&self) -> Vec<(PathBuf, RecursiveMode)> {
        let parent = |file: &Path| file.parent().unwrap_or(Path::new("/")).to_owned();
        let mut places = Vec::new();
        if self.is_package {
            places.push((self.watcher.clone(), RecursiveMode::NonRecursive));
            let src = self.watcher.join("src");
            if src.is_dir() {
                places.push((src, RecursiveMode::Recursive));
            }
        } else {
            places.push((parent(&self.watcher), RecursiveMode::NonRecursive));
        }
        if let Some(events) = &self.events {
            let folder = parent(events);
            if places.iter().all(|(place, _)| *place != folder) {
                places.push((folder, RecursiveMode::NonRecursive));
            }
        }
        places
    }

    fn concerns(&self, path: &Path) -> Option<Concerns> {
        if self.events.as_deref() == Some(path) {
            return Some(Concerns::Events);
        }
        let is_source = if self.is_package {
            let inner = path.strip_prefix(&self.watcher).ok()?;
            let name = path.file_name()?.to_str()?;
            // What editors keep beside a file is none of its source.
            let is_copy = name.starts_with('.') || name.ends_with('~');
            let is_manifest = ["Cargo.toml", "build.rs"].iter().any(|file| inner == Path::new(file));
            is_manifest || (inner.starts_with("src") && !is_copy)
        } else {
            path == self.watcher
        };
        is_source.then_some(Concerns::Watcher)
    }
}

/// What the thread has that builds.
struct Rebuild {
    args: WatcherArgs,
    engine: Engine,
    loaded: Component,
    send: Sender<Change>,
}

impl Rebuild {
    fn run(mut self, noticed: &Receiver<(Concerns, PathBuf)>) {
        while let Ok(first) = noticed.recv() {
            let mut changes = vec![first];
            while let Ok(change) = noticed.recv_timeout(QUIET) {
                changes.push(change);
            }
            let has = |concerns| changes.iter().any(|(concerned, _)| *concerned == concerns);
            let change = if has(Concerns::Watcher) {
                self.rebuild().map(|watcher| Change::Watcher(Box::new(watcher)))
            } else {
                None
            };
            let change = change.or_else(|| has(Concerns::Events).then_some(Change::Events));
            if change.is_some_and(|change| self.send.send(change).is_err()) {
                return;
            }
        }
    }

    /// The new watcher, unless there is none, or it is as it was.
    fn rebuild(&mut self) -> Option<Watcher> {
        let begun = Instant::now();
        if self.args.path().is_dir() {
            style::say_aside(&style::styled(style::FAINT, "the source has changed: building…"));
        }
        let mut said = Vec::new();
        let built = self.args.component_telling(|line| {
            if cargo_status(line).is_none() {
                said.push(line.to_owned());
            }
        });
        if said.iter().any(|line| !line.is_empty()) {
            style::say_aside(said.join("\n").trim_end());
        }
        let loaded = built.and_then(|component| {
            if component == self.loaded {
                return Ok(None);
            }
            let watcher = component.load(&self.engine)?;
            self.loaded = component;
            Ok(Some(watcher))
        });
        let took = format!("after {:.1?}", begun.elapsed());
        match loaded {
            Ok(Some(watcher)) => {
                let message = format!("{} {took}; the store is as it was", watcher.name());
                style::say_aside(&style::labelled(style::NOTE, "reloaded", &message));
                Some(watcher)
            }
            Ok(None) => {
                style::say_aside(&style::styled(
                    style::FAINT,
                    &format!("it makes no difference to the watcher, {took}"),
                ));
                None
            }
            Err(error) => {
                let message = format!("{}; the watcher goes on as it was", chain(&*error));
                style::say_aside(&style::labelled(style::ERROR, "error", &message));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concerns(files: &Files, path: &str) -> Option<Concerns> {
        files.concerns(Path::new(path))
    }

    #[test]
    fn a_package_is_its_source() {
        let events = Some("/w/events.jsonl".into());
        let files = Files { watcher: "/w".into(), is_package: true, events };
        for path in ["/w/Cargo.toml", "/w/build.rs", "/w/src/lib.rs", "/w/src/deep/er.rs"] {
            assert_eq!(concerns(&files, path), Some(Concerns::Watcher), "{path}");
        }
        assert_eq!(concerns(&files, "/w/events.jsonl"), Some(Concerns::Events));
        for path in
            ["/w", "/w/Cargo.lock", "/w/target", "/w/README.md", "/w/src/.lib.rs.swp", "/w/src/lib.rs~", "/src/a.rs"]
        {
            assert_eq!(concerns(&files, path), None, "{path}");
        }
    }

    #[test]
    fn a_component_is_one_file() {
        let files = Files { watcher: "/w/a.wasm".into(), is_package: false, events: None };
        assert_eq!(concerns(&files, "/w/a.wasm"), Some(Concerns::Watcher));
        assert_eq!(concerns(&files, "/w/b.wasm"), None);
    }
}
