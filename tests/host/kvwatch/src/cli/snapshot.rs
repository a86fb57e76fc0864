//! The state of the files that a watcher is made from, to notice when they change.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The files and folders that are compared. They need not exist.
///
/// Each comparison looks up the paths again. Notifications of the system follow a file or a folder, and lose it when it is
/// replaced, as git does between branches. They also do not follow symbolic links, and do not work in most network folders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) files: Vec<PathBuf>,
    /// Folders: every file in them, at any depth, except for hidden files, backups of editors, and the output of cargo. A path
    /// that is not a folder is compared like a file.
    pub(crate) folders: Vec<PathBuf>,
}

/// The files of [`Places`] at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, Option<State>>);

/// Two equal states stand for the same content. A file that is replaced has another number, even if its time is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    modified: Option<SystemTime>,
    len: u64,
    number: u64,
}

impl Places {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut states: BTreeMap<_, _> = self.files.iter().map(|file| (file.clone(), state(file))).collect();
        let mut folders = self.folders.clone();
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                states.insert(folder.clone(), state(&folder));
                continue;
            };
            for entry in entries.flatten() {
                let (path, name) = (entry.path(), entry.file_name());
                let name = name.to_string_lossy();
                if name.starts_with('.') || name.ends_with('~') {
                    continue;
                }
                // A link to a folder could lead back here.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    if name != "target" && !path.join("CACHEDIR.TAG").exists() {
                        folders.push(path);
                    }
                } else {
                    states.insert(path.clone(), state(&path));
                }
            }
        }
        Snapshot(states)
    }

    /// The snapshot that a build, which started at `begun` with the files in `before`, has taken into account. A file that
    /// changed during the build differs from it at the next comparison.
    pub(crate) fn built(&self, before: &Snapshot, begun: SystemTime) -> Snapshot {
        let mut snapshot = self.snapshot();
        for (path, state) in &mut snapshot.0 {
            // Cargo itself writes the lock file during a build.
            if path.file_name().is_some_and(|name| name == "Cargo.lock") {
                continue;
            }
            if let Some(before) = before.0.get(path) {
                state.clone_from(before);
            } else if state.as_ref().is_some_and(|state| state.modified.is_some_and(|modified| modified > begun)) {
                *state = None;
            }
        }
        snapshot
    }
}

fn state(path: &Path) -> Option<State> {
    let metadata = fs::metadata(path).ok()?;
    // The time of a folder changes with all of its entries, and not all entries matter.
    let modified = if metadata.is_dir() { None } else { metadata.modified().ok() };
    let len = if metadata.is_dir() { 0 } else { metadata.len() };
    Some(State { modified, len, number: number(&metadata) })
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_metadata: &Metadata) -> u64 {
    0
}
