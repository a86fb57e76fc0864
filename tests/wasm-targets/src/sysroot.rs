//! The folder with rustc's standard libraries: its content, and a way to put a target there in one step.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::{Error, Target, process};

const LOCK: &str = ".wasm-targets.lock";
const STAGING: &str = ".wasm-targets-";
/// A file in the folder of a target that was built here. It names the compiler.
const BUILT_BY: &str = ".wasm-targets-built-by";

/// The files of wasi-libc that the linker needs, in `lib/self-contained`.
pub(crate) const WASI_LIBC: [&str; 3] = ["crt1-command.o", "crt1-reactor.o", "libc.a"];

pub(crate) struct Sysroot {
    root: PathBuf,
    rustlib: PathBuf,
}

impl Sysroot {
    /// The sysroot of the `rustc` that is in use in the folder `dir`.
    pub(crate) fn of_rustc_in_use(dir: &Path) -> Result<Self, Error> {
        let remedy = "Install Rust, or set RUSTC to the compiler to use.";
        let rustc = env::var_os("RUSTC").filter(|rustc| !rustc.is_empty()).unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        let printed = process::run(command.args(["--print", "sysroot"]).current_dir(dir), remedy)?;
        let root = printed.trim();
        if root.is_empty() {
            return Err(Error::Output { command: process::line(&command), said: printed, remedy });
        }
        Ok(Self::at(Path::new(root)))
    }

    fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), rustlib: root.join("lib").join("rustlib") }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The sysroot's own rustc, without rustup's proxy. So the program does not depend on the current folder.
    pub(crate) fn rustc(&self) -> PathBuf {
        let own = self.root.join("bin").join(format!("rustc{}", env::consts::EXE_SUFFIX));
        if own.is_file() {
            return own;
        }
        env::var_os("RUSTC").filter(|rustc| !rustc.is_empty()).map_or_else(|| "rustc".into(), PathBuf::from)
    }

    /// The cargo of the same toolchain.
    pub(crate) fn cargo(&self) -> PathBuf {
        let own = self.root.join("bin").join(format!("cargo{}", env::consts::EXE_SUFFIX));
        if own.is_file() {
            return own;
        }
        env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
    }

    /// The targets that are not installed, each once.
    pub(crate) fn missing(&self, targets: &[Target]) -> Vec<Target> {
        Target::ALL.into_iter().filter(|target| targets.contains(target) && !self.has(*target)).collect()
    }

    fn has(&self, target: Target) -> bool {
        let folder = self.folder(target);
        if !is_complete(&folder, target) {
            return false;
        }
        if let Ok(built_by) = fs::read_to_string(folder.join(BUILT_BY)) {
            // After `rustup update` the folder is still there, but cannot be used.
            return built_by.trim() == self.compiler();
        }
        // Without rustup's list, the target was installed by hand or by a distribution.
        self.rustups_files(target).iter().all(|file| has_content(file))
    }

    /// The files in rustup's own list for the target. Empty if there is no list.
    fn rustups_files(&self, target: Target) -> Vec<PathBuf> {
        let list = self.rustlib.join(format!("manifest-rust-std-{target}"));
        let list = fs::read_to_string(list).unwrap_or_default();
        list.lines().filter_map(|line| line.strip_prefix("file:")).map(|file| self.root.join(file)).collect()
    }

    /// Creates an empty file for each file that rustup installed and that is missing. Without it, rustup refuses to remove the
    /// target, now and at its next update. [`Self::missing`] treats an empty file as missing.
    pub(crate) fn stand_in_for_lost_files(&self, target: Target) -> Result<(), Error> {
        for file in self.rustups_files(target) {
            if fs::symlink_metadata(&file).is_err() {
                if let Some(folder) = file.parent() {
                    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
                }
                File::create_new(&file).map_err(Error::io("create", &file))?;
            }
        }
        Ok(())
    }

    fn folder(&self, target: Target) -> PathBuf {
        self.rustlib.join(target.as_str())
    }

    /// A name for the compiler that changes with every version, read without running it.
    fn compiler(&self) -> String {
        let driver = |folder: &str| {
            names_in(&self.root.join(folder))
                .into_iter()
                .filter_map(|name| name.into_string().ok())
                .find(|name| name.trim_start_matches("lib").starts_with("rustc_driver-"))
        };
        driver("lib").or_else(|| driver("bin")).unwrap_or_else(|| "unknown".to_owned())
    }

    /// Waits until no other process installs into this sysroot. The lock ends with the returned
    /// file, and with the process.
    pub(crate) fn lock(&self, progress: &mut dyn FnMut(&str)) -> Result<File, Error> {
        let path = self.rustlib.join(LOCK);
        // The file stays. If it were removed, a process that waits for it and one that creates it anew could both continue.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("write to", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                progress("another process is installing targets; waiting for it");
                file.lock().map_err(Error::io("lock", &path))?;
                Ok(file)
            }
            Err(TryLockError::Error(source)) => Err(Error::Io { action: "lock", path, source }),
        }
    }

    /// Removes the folders that killed runs left. Only the process with the lock may call this: then every staging folder belongs
    /// to a dead run.
    pub(crate) fn sweep(&self, progress: &mut dyn FnMut(&str)) {
        for name in names_in(&self.rustlib) {
            let path = self.rustlib.join(&name);
            if name.to_string_lossy().starts_with(STAGING) && path.is_dir() {
                progress(&format!("removing {}, left by a run that was interrupted", path.display()));
                // If a compiler outlived its run and still writes, the next run removes the rest.
                let _ = fs::remove_dir_all(&path);
            }
        }
    }

    /// A temporary folder on the file system of the sysroot, so that a rename puts a finished
    /// target in its place.
    pub(crate) fn staging(&self) -> Result<TempDir, Error> {
        tempfile::Builder::new()
            .prefix(STAGING)
            .tempdir_in(&self.rustlib)
            .map_err(Error::io("create a folder in", &self.rustlib))
    }

    /// Moves the target's folder, if there is one, into `staging`. It is removed together with `staging`.
    pub(crate) fn set_aside(&self, target: Target, staging: &Path) -> Result<(), Error> {
        let folder = self.folder(target);
        if fs::symlink_metadata(&folder).is_err() {
            return Ok(());
        }
        let aside = tempfile::Builder::new()
            .prefix("replaced-")
            .tempdir_in(staging)
            .map_err(Error::io("create a folder in", staging))?
            .keep();
        fs::rename(&folder, aside.join(target.as_str())).map_err(Error::io("move", &folder))
    }

    /// Moves the finished folder `built` from `staging` to the place of the target.
    pub(crate) fn adopt(&self, target: Target, built: &Path, staging: &Path) -> Result<(), Error> {
        if !is_complete(built, target) {
            return Err(Error::Incomplete {
                what: format!("the standard library just built for {target}"),
                file: if target.needs_wasi_libc() { "libstd, libcore or wasi-libc" } else { "libstd or libcore" }
                    .into(),
            });
        }
        let built_by = built.join(BUILT_BY);
        fs::write(&built_by, self.compiler()).map_err(Error::io("write", &built_by))?;
        self.set_aside(target, staging)?;
        let folder = self.folder(target);
        fs::rename(built, &folder).map_err(Error::io("create", &folder))
    }
}

/// Whether `folder` holds a standard library for `target`. An empty folder, or one that lacks the C
/// library, does not.
fn is_complete(folder: &Path, target: Target) -> bool {
    let lib = folder.join("lib");
    let names = names_in(&lib);
    let holds = |prefix: &str| {
        names.iter().any(|name| {
            name.to_str().is_some_and(|name| name.starts_with(prefix))
                && Path::new(name).extension() == Some(OsStr::new("rlib"))
                && has_content(&lib.join(name))
        })
    };
    let c = lib.join("self-contained");
    holds("libcore-")
        && holds("libstd-")
        && (!target.needs_wasi_libc() || WASI_LIBC.iter().all(|file| has_content(&c.join(file))))
}

fn has_content(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

fn names_in(folder: &Path) -> Vec<OsString> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sysroot() -> (TempDir, Sysroot) {
        let root = tempfile::tempdir().expect("a temporary folder");
        let sysroot = Sysroot::at(root.path());
        fs::create_dir_all(&sysroot.rustlib).expect("rustlib");
        fs::write(root.path().join("lib/librustc_driver-1.so"), "").expect("driver");
        (root, sysroot)
    }

    fn fill(folder: &Path, target: Target) {
        let lib = folder.join("lib");
        fs::create_dir_all(lib.join("self-contained")).expect("lib");
        for name in ["libcore-1.rlib", "libstd-1.rlib"] {
            fs::write(lib.join(name), "content").expect("rlib");
        }
        if target.needs_wasi_libc() {
            for name in WASI_LIBC {
                fs::write(lib.join("self-contained").join(name), "content").expect("libc");
            }
        }
    }

    #[test]
    fn an_empty_sysroot_lacks_every_target_asked_for_once() {
        let (_root, sysroot) = sysroot();
        assert_eq!(
            sysroot.missing(&[Target::Wasip2, Target::Wasip1, Target::Wasip2]),
            [Target::Wasip1, Target::Wasip2]
        );
    }

    #[test]
    fn every_part_must_be_there() {
        for target in Target::ALL {
            let (_root, sysroot) = sysroot();
            let folder = sysroot.folder(target);
            fs::create_dir_all(folder.join("lib")).expect("lib");
            assert!(!sysroot.has(target), "an empty folder is no target");
            fill(&folder, target);
            assert!(sysroot.has(target));
            let mut parts = vec!["libcore-1.rlib".to_owned(), "libstd-1.rlib".to_owned()];
            if target.needs_wasi_libc() {
                parts.extend(WASI_LIBC.map(|name| format!("self-contained/{name}")));
            }
            for part in parts {
                let part = folder.join("lib").join(part);
                fs::remove_file(&part).expect("remove");
                assert!(!sysroot.has(target), "without {}", part.display());
                fs::write(&part, "").expect("write");
                assert!(!sysroot.has(target), "with an empty {}", part.display());
                fs::write(&part, "content").expect("write");
            }
        }
    }

    #[test]
    fn metadata_alone_or_another_crate_is_not_std() {
        let (_root, sysroot) = sysroot();
        let lib = sysroot.folder(Target::UnknownUnknown).join("lib");
        fs::create_dir_all(&lib).expect("lib");
        for name in ["libcore-1.rlib", "libstd-1.rmeta", "libstd_detect-1.rlib"] {
            fs::write(lib.join(name), "content").expect("write");
        }
        assert!(!sysroot.has(Target::UnknownUnknown));
    }

    #[test]
    fn what_rustup_lists_must_be_there_and_stand_ins_are_not() {
        let (root, sysroot) = sysroot();
        let target = Target::UnknownUnknown;
        fill(&sysroot.folder(target), target);
        let [alloc, list] = ["wasm32-unknown-unknown/lib/liballoc-1.rlib", "manifest-rust-std-wasm32-unknown-unknown"]
            .map(|file| root.path().join("lib/rustlib").join(file));
        fs::write(list, "file:lib/rustlib/wasm32-unknown-unknown/lib/liballoc-1.rlib\n").expect("list");
        assert!(!sysroot.has(target));
        sysroot.stand_in_for_lost_files(target).expect("stand in");
        assert!(alloc.is_file() && !sysroot.has(target));
        fs::write(alloc, "content").expect("alloc");
        sysroot.stand_in_for_lost_files(target).expect("stand in");
        assert!(sysroot.has(target));
    }

    #[test]
    fn what_was_built_goes_stale_with_its_compiler() {
        let (root, sysroot) = sysroot();
        let staging = sysroot.staging().expect("staging");
        let built = staging.path().join("built");
        fill(&built, Target::Wasip1);
        sysroot.adopt(Target::Wasip1, &built, staging.path()).expect("adopt");
        assert!(sysroot.has(Target::Wasip1));
        fs::rename(root.path().join("lib/librustc_driver-1.so"), root.path().join("lib/librustc_driver-2.so"))
            .expect("another compiler");
        assert!(!sysroot.has(Target::Wasip1));
    }

    #[test]
    fn a_target_replaces_what_was_there_and_reuses_nothing_of_it() {
        let (_root, sysroot) = sysroot();
        let folder = sysroot.folder(Target::Wasip2);
        fs::create_dir_all(folder.join("lib")).expect("lib");
        fs::write(folder.join("lib/libcore-stale.rlib"), "").expect("stale");
        let staging = sysroot.staging().expect("staging");
        let built = staging.path().join("built");
        fill(&built, Target::Wasip2);
        sysroot.adopt(Target::Wasip2, &built, staging.path()).expect("adopt");
        assert!(sysroot.has(Target::Wasip2));
        assert!(!folder.join("lib/libcore-stale.rlib").exists());
    }

    #[test]
    fn an_unfinished_build_is_not_adopted() {
        let (_root, sysroot) = sysroot();
        let staging = sysroot.staging().expect("staging");
        let built = staging.path().join("built");
        fill(&built, Target::UnknownUnknown);
        assert!(matches!(sysroot.adopt(Target::Wasip1, &built, staging.path()), Err(Error::Incomplete { .. })));
        assert!(!sysroot.folder(Target::Wasip1).exists());
    }

    #[test]
    fn the_sweep_takes_staging_folders_and_nothing_else() {
        let (_root, sysroot) = sysroot();
        let left = sysroot.staging().expect("staging").keep();
        fs::create_dir_all(left.join("deep/er")).expect("left");
        fill(&sysroot.folder(Target::Wasip1), Target::Wasip1);
        let _lock = sysroot.lock(&mut |_| ()).expect("lock");
        let mut lines = Vec::new();
        sysroot.sweep(&mut |line| lines.push(line.to_owned()));
        assert!(!left.exists());
        assert!(sysroot.has(Target::Wasip1));
        assert!(sysroot.rustlib.join(LOCK).exists());
        assert_eq!(lines.len(), 1, "{lines:?}");
    }

    #[test]
    fn the_lock_excludes_another_and_ends_with_its_file() {
        let (_root, sysroot) = sysroot();
        let lock = sysroot.lock(&mut |_| ()).expect("lock");
        let other = File::open(sysroot.rustlib.join(LOCK)).expect("open");
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        assert!(other.try_lock().is_ok());
    }
}
