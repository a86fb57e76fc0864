//! `--reload`: loads a watcher again when its file is replaced.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use kvwatch::Watcher;
use kvwatch::serve::{Crew, Escaped};

use crate::cli::chain;

/// The interval between two looks at the file. Looking works on every file system, and also if a folder is replaced through a
/// link, as Kubernetes does. Notifications do not.
const EVERY: Duration = Duration::from_millis(500);

/// Watches the file of one watcher.
pub(super) struct Reload {
    path: PathBuf,
    loaded: Stamp,
}

/// Identifies the content of a file without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Reload {
    /// The present file counts as the loaded one.
    pub(super) fn new(path: PathBuf) -> Self {
        let loaded = Stamp::of(&path).unwrap_or_default();
        Self { path, loaded }
    }

    /// Passes each new watcher to the crew, for ever.
    pub(super) async fn run(mut self, crew: Crew) {
        let mut before = Some(self.loaded);
        loop {
            tokio::time::sleep(EVERY).await;
            let now = Stamp::of(&self.path);
            // A file that is still being written has another stamp the next time. A file that is gone may come back.
            let is_quiet = now == before;
            before = now;
            let Some(stamp) = now.filter(|stamp| is_quiet && *stamp != self.loaded) else { continue };
            // A file that cannot be loaded is not tried again until it changes.
            self.loaded = stamp;
            let (path, engine) = (self.path.clone(), crew.engine());
            let loading =
                tokio::task::spawn_blocking(move || Watcher::load(&engine, path).map_err(|error| chain(&error)));
            let file = self.path.display().to_string();
            match loading.await {
                Ok(Ok(watcher)) => {
                    crew.replace(watcher);
                    tracing::info!(file, "loaded the new watcher; the next events go to it");
                }
                Ok(Err(cause)) => failed(&crew, &file, &cause),
                Err(cause) => failed(&crew, &file, &cause.to_string()),
            }
        }
    }
}

fn failed(crew: &Crew, file: &str, cause: &str) {
    crew.usage().reload_failures.fetch_add(1, Ordering::Relaxed);
    tracing::error!(file, cause = %Escaped::whole(cause), "cannot load the new watcher; the old one continues");
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata: Metadata = fs::metadata(path).ok()?;
        Some(Self { modified: metadata.modified().ok(), len: metadata.len(), inode: metadata.ino() })
    }
}
