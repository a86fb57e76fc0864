//! `--watch`: builds a watcher again when its source changes. The build and the watcher run on different threads.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use kvwatch::{Engine, Watcher, build};

use super::progress::Spinner;
use super::snapshot::{Places, Snapshot};
use super::watcher::{Component, WatcherArgs, cargo_status};
use super::{Result, chain, escape, style};

/// The time between two looks at the files.
const INTERVAL: Duration = Duration::from_millis(100);

/// If the files did not change for this time, the author has saved all of them.
const QUIET: Duration = Duration::from_millis(100);

/// After this time, the build starts even if the files still change.
const LONGEST: Duration = Duration::from_secs(2);

/// A change.
pub(crate) enum Change {
    /// The new watcher.
    Watcher(Box<Watcher>),
    /// The file with the events changed.
    Events,
}

/// A watcher that is built again with each change of its source.
pub(crate) struct Watch {
    changes: Receiver<Change>,
}

impl Watch {
    /// Starts to build the watcher, and to follow its source and the file with the events, if there is one.
    pub(crate) fn start(args: &WatcherArgs, engine: &Engine, events: Option<&Path>) -> Result<Self> {
        let (send, changes) = mpsc::channel();
        let events = Places { files: events.map(Path::to_owned).into_iter().collect(), folders: Vec::new() };
        let rebuild = Rebuild {
            places: args.places(),
            args: args.clone(),
            engine: engine.clone(),
            seen: events.snapshot(),
            events,
            loaded: None,
            send,
        };
        thread::Builder::new().name("kvwatch watch".into()).spawn(move || rebuild.run())?;
        Ok(Self { changes })
    }

    /// Waits for the first watcher, through all builds that fail.
    pub(crate) fn first(&self) -> Result<Watcher> {
        loop {
            if let Change::Watcher(watcher) = self.wait()? {
                return Ok(*watcher);
            }
        }
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

/// Tells the user that kvwatch waits for a change of a file.
pub(crate) fn say_waiting() {
    style::say(&style::styled(style::FAINT, "waiting for a change: Ctrl-C ends it"));
}

/// The state of the thread that builds.
struct Rebuild {
    args: WatcherArgs,
    engine: Engine,
    /// The files that decide about the watcher.
    places: Places,
    events: Places,
    /// The state of the file with the events when its last change was reported.
    seen: Snapshot,
    loaded: Option<Component>,
    send: Sender<Change>,
}

impl Rebuild {
    fn run(mut self) {
        let mut is_stale = true;
        let mut built = self.places.snapshot();
        loop {
            let mut change = None;
            if is_stale {
                let (before, begun) = (self.places.snapshot(), SystemTime::now());
                let ControlFlow::Continue(watcher) = self.rebuild() else { return };
                change = watcher.map(|watcher| Change::Watcher(Box::new(watcher)));
                built = self.places.built(&before, begun);
            }
            let events = self.events.snapshot();
            if events != self.seen {
                self.seen = events;
                change.get_or_insert(Change::Events);
            }
            if change.is_some_and(|change| self.send.send(change).is_err()) {
                return;
            }
            is_stale = self.wait(&built);
        }
    }

    /// Waits until a file has changed and the files are quiet. Returns whether the watcher must be built again.
    fn wait(&self, built: &Snapshot) -> bool {
        let unchanged = (built.clone(), self.seen.clone());
        let mut last = unchanged.clone();
        let (mut first, mut latest) = (None, Instant::now());
        loop {
            let now = (self.places.snapshot(), self.events.snapshot());
            if now != last {
                last = now;
                latest = Instant::now();
                first = first.or(Some(latest));
            }
            if first.is_some_and(|first: Instant| latest.elapsed() >= QUIET || first.elapsed() >= LONGEST) {
                if last != unchanged {
                    return last.0 != unchanged.0;
                }
                first = None;
            }
            thread::sleep(INTERVAL);
        }
    }

    /// Builds. Returns the new watcher if it differs from the old one. It breaks when the process is about to end.
    fn rebuild(&mut self) -> ControlFlow<(), Option<Watcher>> {
        let begun = Instant::now();
        let is_first = self.loaded.is_none();
        let component = if is_first { self.args.component() } else { self.component_aside() };
        // A failed build does not report the files that it read, so any file of the package can be the remedy.
        self.places.folders = self.args.places().folders;
        let error = component.as_ref().err().and_then(|error| error.downcast_ref());
        if let Some(build::Error::Failed { inputs, .. } | build::Error::Manifest { inputs, .. }) = error {
            self.places.folders.extend(inputs.iter().cloned());
        }
        let loaded = component.and_then(|component| {
            self.places = component.places.clone();
            if self.loaded.as_ref().is_some_and(|old| (&old.name, &old.bytes) == (&component.name, &component.bytes)) {
                return Ok(None);
            }
            let watcher = {
                let _spinner = is_first.then(|| Spinner::new("compiling")).flatten();
                component.load(&self.engine)?
            };
            self.loaded = Some(component);
            Ok(Some(watcher))
        });
        let took = format!("after {:.1?}", begun.elapsed());
        match loaded {
            Ok(Some(watcher)) => {
                if !is_first {
                    let name = escape::line(watcher.name());
                    let message = format!("{name} {took}; the store has not changed");
                    style::say_aside(&style::labelled(style::NOTE, "reloaded", &message));
                }
                ControlFlow::Continue(Some(watcher))
            }
            Ok(None) => {
                let message = format!("the change does not affect the watcher, {took}");
                style::say_aside(&style::styled(style::FAINT, &message));
                ControlFlow::Continue(None)
            }
            Err(error) if matches!(error.downcast_ref(), Some(build::Error::Stopped { .. })) => ControlFlow::Break(()),
            Err(error) => {
                let error = escape::lines(&chain(&*error));
                if is_first {
                    style::say(&style::labelled(style::ERROR, "error", &error));
                    say_waiting();
                } else {
                    let message = format!("{error}; the old watcher continues");
                    style::say_aside(&style::labelled(style::ERROR, "error", &message));
                }
                ControlFlow::Continue(None)
            }
        }
    }

    /// Builds while the old watcher runs, and shows the diagnostics of cargo together.
    fn component_aside(&self) -> Result<Component> {
        if self.args.package_dir().is_some() {
            style::say_aside(&style::styled(style::FAINT, "the source has changed: building…"));
        }
        let mut diagnostics = Vec::new();
        let component = self.args.component_telling(|line| {
            if cargo_status(line).is_none() {
                diagnostics.push(escape::coloured(line));
            }
        });
        if diagnostics.iter().any(|line| !line.is_empty()) {
            style::say_aside(diagnostics.join("\n").trim_end());
        }
        component
    }
}
