//! Compiled components in a folder, so that a component is compiled once and not at every start.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use std::{env, fmt};

use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// A folder with compiled components.
///
/// An entry belongs to one component, one release of wasmtime and one set of its settings, the processor among them. Every other
/// combination has another entry, so an old entry is never used by mistake.
///
/// wasmtime runs an entry as machine code and does not check it. So this type uses an entry only if it belongs to the user of this
/// process, nobody else may write to it, and its checksum is right. Every other entry is compiled again and replaced.
///
/// The cache never makes a load fail. [`take_failure`](Self::take_failure) says why an entry could not be written.
///
/// ```
/// use kvwatch::{Cache, Engine};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let cache = Cache::in_folder(folder)?;
/// let engine = Engine::builder().cache(cache.clone()).build()?;
/// # let _ = engine;
/// assert_eq!((cache.hits(), cache.misses()), (0, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    most_bytes: u64,
    hits: AtomicU64,
    misses: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

/// The start of the name of every entry.
const PREFIX: &str = "component-";
/// The start of the name of a file that becomes an entry.
const UNFINISHED: &str = "unfinished-";
/// An unfinished file of this age belongs to a process that died.
const ABANDONED: Duration = Duration::from_hours(1);
/// The first bytes of an entry. Another format gets another text.
const MAGIC: &[u8; 8] = b"kvwatch1";
/// The checksum follows the magic text, and the compiled component follows the checksum.
const HEADER: usize = MAGIC.len() + size_of::<Checksum>();

type Checksum = [u8; 32];

impl Cache {
    /// The environment variable that names the folder of [`of_user`](Self::of_user).
    pub const FOLDER_VARIABLE: &str = "KVWATCH_CACHE_DIR";

    /// All entries together have at most this many bytes: 512 MiB. When there are more, those that were used longest ago are removed.
    pub const MOST_BYTES: u64 = 512 << 20;

    /// A cache in this folder. A folder that does not exist is made, and only the user of this process may use it.
    ///
    /// # Errors
    ///
    /// When there is no such folder, and it cannot be made.
    pub fn in_folder(folder: impl Into<PathBuf>) -> io::Result<Self> {
        Self::bounded(folder, Self::MOST_BYTES)
    }

    /// A cache with another bound in bytes. The newest entry stays even if it alone has more.
    ///
    /// # Errors
    ///
    /// When there is no such folder, and it cannot be made.
    pub fn bounded(folder: impl Into<PathBuf>, most_bytes: u64) -> io::Result<Self> {
        let folder = folder.into();
        make_folder(&folder)?;
        let (hits, misses) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { folder, most_bytes, hits, misses, failure: Mutex::new(None) })))
    }

    /// The cache of the user of this process. See [`folder_of_user`](Self::folder_of_user). `None` if the user has no such folder.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made. The message names it.
    pub fn of_user() -> io::Result<Option<Self>> {
        let Some(folder) = Self::folder_of_user() else { return Ok(None) };
        let shown = folder.display().to_string();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", shown.escape_debug()));
        Self::in_folder(folder).map(Some).map_err(named)
    }

    /// The folder of the compiled components of the user of this process: `$KVWATCH_CACHE_DIR` if it is set, else `kvwatch` in
    /// the folder for caches. This is `$XDG_CACHE_HOME` or `~/.cache`, on macOS `~/Library/Caches`, and on Windows
    /// `%LOCALAPPDATA%`. `None` if the environment names no such folder, as may be the case for a service.
    #[must_use]
    pub fn folder_of_user() -> Option<PathBuf> {
        folder_of_user(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The number of components that were found in the cache.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Relaxed)
    }

    /// The number of components that were compiled because the cache did not have them.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.0.misses.load(Relaxed)
    }

    /// Why an entry could not be written, if that happened since the last call.
    #[must_use]
    pub fn take_failure(&self) -> Option<io::Error> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The compiled component, from the cache if it is there.
    pub(crate) fn component(&self, engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
        let name = name(engine, bytes);
        if let Some(component) = load(engine, &self.0.folder, &name) {
            self.0.hits.fetch_add(1, Relaxed);
            return Ok(component);
        }
        let component = Component::from_binary(engine, bytes)?;
        self.0.misses.fetch_add(1, Relaxed);
        if let Err(error) = component.serialize().map_err(io::Error::other).and_then(|code| self.store(&name, &code)) {
            *self.0.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        Ok(component)
    }

    /// Writes an entry. Another process sees the whole entry or none.
    fn store(&self, name: &str, code: &[u8]) -> io::Result<()> {
        // Somebody may have removed the folder since.
        make_folder(&self.0.folder)?;
        let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.0.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&checksum(name, code))?;
        file.write_all(code)?;
        let entry = self.0.folder.join(name);
        file.persist(&entry).map_err(|error| error.error)?;
        self.make_room(&entry)
    }

    /// Removes the entries that were used longest ago, until the others have no more bytes than the bound.
    fn make_room(&self, newest: &Path) -> io::Result<()> {
        let now = SystemTime::now();
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.0.folder)? {
            let file = file?;
            let name = file.file_name();
            let starts = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            // Another process may have removed it.
            let Ok(metadata) = file.metadata() else { continue };
            let used = metadata.modified().unwrap_or(now);
            if starts(UNFINISHED) && now.duration_since(used).is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(file.path());
            } else if starts(PREFIX) && file.path() != newest {
                entries.push((used, metadata.len(), file.path()));
            }
        }
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, len, _)| len).sum::<u64>() + fs::metadata(newest)?.len();
        for (_, len, path) in entries {
            if bytes <= self.0.most_bytes {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => bytes -= len,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

/// The folder, in an environment that `variable` reads.
fn folder_of_user(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(folder) = variable(Cache::FOLDER_VARIABLE) {
        return Some(folder.into());
    }
    // A relative path would be another folder in each working directory.
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Caches"))
    } else {
        absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
    };
    Some(caches?.join("kvwatch"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The name of the entry of a component, compiled by this engine.
fn name(engine: &Engine, bytes: &[u8]) -> String {
    /// Feeds a checksum with what is hashed.
    struct Feed(Sha256);

    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    // The release of wasmtime, its settings and the processor.
    let mut feed = Feed(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut feed);
    let Feed(mut sum) = feed;
    sum.update(bytes);
    format!("{PREFIX}{:x}", sum.finalize())
}

/// The checksum of an entry. It covers the name too: an entry under another name is not used.
fn checksum(name: &str, code: &[u8]) -> Checksum {
    Sha256::new().chain_update(name).chain_update(code).finalize().into()
}

/// The component of an entry. `None` if there is no entry, or it must not be used.
#[expect(unsafe_code, reason = "wasmtime cannot check compiled code")]
fn load(engine: &Engine, folder: &Path, name: &str) -> Option<Component> {
    let mut file = File::open(folder.join(name)).ok()?;
    if !is_private(&file) {
        return None;
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content).ok()?;
    let (header, code) = content.split_at_checked(HEADER)?;
    let (magic, sum) = header.split_at(MAGIC.len());
    if magic != MAGIC || sum != checksum(name, code) {
        return None;
    }
    // SAFETY: `deserialize` needs what `serialize` returned, unchanged. The checksum shows that the bytes are what `store` wrote
    // under this name: they are not damaged. Nobody else can have written them on purpose: the open file belongs to the user of
    // this process, and only this user may write to it. A program that can write as this user can also change kvwatch. wasmtime
    // itself refuses what another release or other settings have compiled.
    let component = unsafe { Component::deserialize(engine, code) }.ok()?;
    // For `make_room`. An entry that cannot be marked is only removed too early.
    let _ = file.set_modified(SystemTime::now());
    Some(component)
}

/// Whether only the user of this process can have written to the file.
#[cfg(unix)]
fn is_private(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    const OTHERS_WRITE: u32 = 0o022;
    file.metadata().is_ok_and(|file| {
        file.is_file() && file.uid() == nix::unistd::geteuid().as_raw() && file.mode() & OTHERS_WRITE == 0
    })
}

/// The folder for caches is in the user's profile there, which other users cannot write to.
#[cfg(not(unix))]
fn is_private(file: &File) -> bool {
    file.metadata().is_ok_and(|file| file.is_file())
}
