//! `--store`: a store that is kept in a file after the run.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kvwatch::world::store::MemoryStore;
use kvwatch::world::{Events, Problem};
use tempfile::{Builder, NamedTempFile};

use super::{Result, escape};

/// The file of a store. It is replaced as a whole, so it is never half written.
#[derive(Debug)]
pub(crate) struct StoreFile {
    path: PathBuf,
    /// The version of the file when kvwatch last read or wrote it. `None` stands for no file.
    known: Option<Version>,
}

/// Identifies a version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    len: u64,
    modified: Option<SystemTime>,
}

impl StoreFile {
    /// Reads a store, whose watched bucket has this name. A file that does not exist is an empty store. Lines have at most `max_line`
    /// bytes.
    pub(crate) fn load(path: &Path, watched: &str, max_line: usize) -> Result<(Self, MemoryStore)> {
        // A link stays a link: the file behind it is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut file = Self { path, known: None };
        file.known = file.version()?;
        // A failure now is better than a failure after the run.
        file.temporary().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!(
                    "cannot write the store of --store {}: its folder does not exist. Make the folder, or name another file",
                    file.name()
                )
            }
            _ => file.cannot("write", &error),
        })?;
        let store = MemoryStore::new();
        if file.known.is_some() {
            let cannot_read = |error: io::Error| file.cannot("read", &error);
            let lines = Events::new(BufReader::new(File::open(&file.path).map_err(cannot_read)?));
            let folder = file.path.parent().unwrap_or(Path::new(""));
            store.load(lines.max_line(max_line).files_in(folder), watched).map_err(|bad| match bad.problem {
                Problem::Io(error) => file.cannot("read", &error),
                Problem::Event(error) => format!(
                    "{}:{}: {error}\nthe store is not loaded, and the file is not changed: correct the line, or name another file",
                    file.name(),
                    bad.line
                ),
                _ => format!("{}: {bad}", file.name()),
            })?;
        }
        Ok((file, store))
    }

    /// Replaces the file with the store.
    pub(crate) fn save(&mut self, store: &MemoryStore, watched: &str) -> Result<()> {
        let temporary = self.write(store, watched).map_err(|error| {
            format!("{}; the file has its old content, without the changes of this run", self.cannot("write", &error))
        })?;
        if self.version()? != self.known {
            let kept = temporary.into_temp_path().keep()?;
            return Err(format!(
                "another program changed {} since kvwatch read it. It is not overwritten; the store of this run is in {}",
                self.name(),
                escape::line(&kept.display().to_string())
            )
            .into());
        }
        temporary.persist(&self.path).map_err(|error| self.cannot("write", &error.error))?;
        self.known = self.version()?;
        Ok(())
    }

    fn write(&self, store: &MemoryStore, watched: &str) -> io::Result<NamedTempFile> {
        let temporary = self.temporary()?;
        if let Ok(metadata) = fs::metadata(&self.path) {
            temporary.as_file().set_permissions(metadata.permissions())?;
        }
        let mut writer = BufWriter::new(temporary.as_file());
        store.save(&mut writer, watched)?;
        writer.flush()?;
        drop(writer);
        // A file that is renamed before its content is on the disk may be empty after a crash.
        temporary.as_file().sync_all()?;
        Ok(temporary)
    }

    /// A file in the same folder. A file can replace another only in the same file system.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut prefix = self.path.file_name().unwrap_or_default().to_owned();
        prefix.push(".kvwatch-");
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        // The umask of the process removes permissions, as for every other new file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(folder)
    }

    fn version(&self) -> Result<Option<Version>> {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => {
                Ok(Some(Version { len: metadata.len(), modified: metadata.modified().ok() }))
            }
            Ok(_) => Err(format!(
                "--store {} is not a regular file: name a regular file, or a path where there is no file yet",
                self.name()
            )
            .into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.cannot("read", &error).into()),
        }
    }

    fn cannot(&self, what: &str, error: &io::Error) -> String {
        // The error of a temporary file names that file. The user only knows the store.
        let inner = error.get_ref().and_then(|error| error.source());
        let cause = inner.map_or_else(|| error.to_string(), ToString::to_string);
        format!("cannot {what} the store of --store {}: {cause}", self.name())
    }

    fn name(&self) -> String {
        escape::line(&self.path.display().to_string())
    }
}
