//! Builds the standard library from its source.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sysroot::Sysroot;
use crate::{Error, Target, process};

const REMEDY: &str = "Building the standard library needs a C linker for its build scripts \
                      (Debian's package `gcc`) and the package registry.";

/// The folder of the dependencies, as the compiler's own standard library names it.
const DEPENDENCIES: &str = "/rust/deps";

/// An empty package. Only its dependencies matter.
const PACKAGE: &str = "wasm-targets-empty";

/// The output of `rustc -vV`, and the paths of the programs.
pub(crate) struct Compiler {
    rustc: PathBuf,
    cargo: PathBuf,
    release: String,
    /// The folder of the source, as the compiler's own standard library names it.
    source: String,
}

impl Compiler {
    pub(crate) fn of(sysroot: &Sysroot) -> Result<Self, Error> {
        let remedy = "Install Rust, or set RUSTC to the compiler to use.";
        let (rustc, cargo) = (sysroot.rustc(), sysroot.cargo());
        let mut command = Command::new(&rustc);
        let printed = process::run(command.arg("-vV"), remedy)?;
        let Some(release) = field(&printed, "release") else {
            return Err(Error::Output { command: process::line(&command), said: printed, remedy });
        };
        // rustc resolves this prefix to the source component if that is installed.
        let commit = field(&printed, "commit-hash").filter(|hash| *hash != "unknown");
        let source = format!("/rustc/{}/library", commit.unwrap_or(release));
        Ok(Self { release: release.to_owned(), source, rustc, cargo })
    }

    pub(crate) fn release(&self) -> &str {
        &self.release
    }

    /// The release without its patch number.
    pub(crate) fn minor(&self) -> &str {
        self.release.match_indices('.').nth(1).map_or(&self.release, |(at, _)| &self.release[..at])
    }
}

fn field<'a>(printed: &'a str, name: &str) -> Option<&'a str> {
    let value = printed.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?.trim();
    (!value.is_empty()).then_some(value)
}

/// The source of the standard library.
pub(crate) struct StdSource {
    crates: PathBuf,
    vendor: Option<PathBuf>,
}

impl StdSource {
    /// Looks for the source in the folders of `parent`.
    pub(crate) fn find(parent: &Path) -> Option<Self> {
        let folder = fs::read_dir(parent)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .find(|folder| folder.join("library/std/Cargo.toml").is_file())?;
        let vendor = ["library/vendor", "vendor"].map(|name| folder.join(name)).into_iter().find(|path| path.is_dir());
        Some(Self { crates: folder.join("library"), vendor })
    }

    /// Builds for `target` within `staging` and moves the libraries to the new folder `to`.
    ///
    /// The crates that std depends on come from the registry, as cargo is configured. Debian's
    /// package has them too, but without the prebuilt objects that `wasm32-wasip2` needs, so that
    /// they are for a machine that does not reach the registry.
    pub(crate) fn build(
        &self,
        compiler: &Compiler,
        target: Target,
        staging: &Path,
        to: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        let package = staging.join("empty");
        write_package(&package)?;
        // One folder for all targets, so that the build scripts are built once.
        let built = staging.join("target");
        let command = || self.command(compiler, target, &package, &built);
        if let Err(error) = process::run(&mut command(), REMEDY) {
            let Some(vendor) = &self.vendor else {
                return Err(error);
            };
            progress("that failed; trying with the copies of std's dependencies in Debian's package");
            // The first error is the one to report.
            process::run(from_vendor(&mut command(), vendor), REMEDY).map_err(|_| error)?;
        }
        take_libraries(&built.join(target.as_str()).join("release").join("deps"), to)
    }

    fn command(&self, compiler: &Compiler, target: Target, package: &Path, built: &Path) -> Command {
        let mut cargo = Command::new(&compiler.cargo);
        for (name, _) in env::vars_os().filter(|(name, _)| !may_stay(name)) {
            cargo.env_remove(name);
        }
        cargo
            .current_dir(package)
            .args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort,test"])
            .args(["--target", target.as_str(), "--target-dir"])
            .arg(built)
            .env("CARGO_BUILD_BUILD_DIR", built)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(compiler))
            .env("RUSTC", &compiler.rustc)
            // An empty value turns off the user's configuration.
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            // Lets a stable compiler take the flags that start with -Z.
            .env("RUSTC_BOOTSTRAP", "1")
            // Keeps the source out of the sysroot, where `-Zbuild-std` and editors would find it.
            .env("__CARGO_TESTS_ONLY_SRC_ROOT", &self.crates);
        cargo
    }

    fn flags(&self, compiler: &Compiler) -> OsString {
        // Without bitcode, a guest with `lto = true` fails to link. Without the other flag, the
        // crates beneath std would count as stable, and a guest could use them by accident.
        let mut flags = OsString::from("-Cembed-bitcode=yes\x1f-Zforce-unstable-if-unmarked");
        // Panic messages hold paths, and a guest must not depend on the name of a temporary folder.
        let mut remap = |from: &Path, to: &str| {
            flags.push("\x1f--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        };
        remap(&self.crates, &compiler.source);
        if let Some(vendor) = &self.vendor {
            remap(vendor, DEPENDENCIES);
        }
        if let Some(home) = cargo_home() {
            remap(&home.join("registry").join("src"), DEPENDENCIES);
        }
        flags
    }
}

fn cargo_home() -> Option<PathBuf> {
    let set = env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    set.or_else(|| Some(env::home_dir()?.join(".cargo")))
}

fn from_vendor<'a>(cargo: &'a mut Command, vendor: &Path) -> &'a mut Command {
    let folder = vendor.display().to_string();
    cargo
        .args(["--config", r#"source.crates-io.replace-with="wasm-targets-vendor""#, "--config"])
        .arg(format!("source.wasm-targets-vendor.directory={folder:?}"))
}

/// Whether the build may see an environment variable. It must not see variables of an outer `cargo run` or `cargo test`. It must
/// see variables for the network.
fn may_stay(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if starts(&["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_"]) {
        return true;
    }
    if ["CARGO_HOME", "CARGO_BUILD_JOBS"].contains(&&*name) {
        return true;
    }
    // The second list has the variables that cargo sets for build scripts. This may run in a build script.
    !starts(&["CARGO", "__CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS"])
        && !["MAKEFLAGS", "NUM_JOBS", "OUT_DIR", "TARGET", "HOST", "PROFILE", "OPT_LEVEL", "DEBUG"].contains(&&*name)
}

fn write_package(folder: &Path) -> Result<(), Error> {
    let source = folder.join("src");
    fs::create_dir_all(&source).map_err(Error::io("create", &source))?;
    let manifest = format!("[package]\nname = \"{PACKAGE}\"\nedition = \"2021\"\n\n[workspace]\n");
    for (path, text) in [(folder.join("Cargo.toml"), manifest.as_str()), (source.join("lib.rs"), "#![no_std]\n")] {
        fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

fn take_libraries(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    let own = format!("lib{}-", PACKAGE.replace('-', "_"));
    for entry in fs::read_dir(from).map_err(Error::io("read", from))?.flatten() {
        let path = entry.path();
        let is_library = path.extension().is_some_and(|extension| extension == "rlib");
        if is_library && !entry.file_name().to_string_lossy().starts_with(&own) {
            fs::rename(&path, to.join(entry.file_name())).map_err(Error::io("move", &path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "\
rustc 1.95.0 (59807616e 2026-04-14)
binary: rustc
commit-hash: 59807616e1fa2540724bfbac14d7976d7e4a3860
release: 1.95.0
LLVM version: 22.1.2
";

    #[test]
    fn the_version_is_read_by_its_fields() {
        assert_eq!(field(VERSION, "release"), Some("1.95.0"));
        assert_eq!(field(VERSION, "commit-hash"), Some("59807616e1fa2540724bfbac14d7976d7e4a3860"));
        assert_eq!(field(VERSION, "host"), None);
        assert_eq!(field("release: \n", "release"), None);
    }

    #[test]
    fn the_minor_version_has_two_numbers() {
        for (release, minor) in [("1.95.0", "1.95"), ("1.97.0-nightly", "1.97"), ("2", "2")] {
            let compiler = Compiler {
                rustc: "rustc".into(),
                cargo: "cargo".into(),
                release: release.into(),
                source: String::new(),
            };
            assert_eq!(compiler.minor(), minor);
        }
    }

    #[test]
    fn an_outer_cargo_does_not_reach_the_build() {
        for name in ["CARGO_TARGET_DIR", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "RUSTFLAGS"]
        {
            assert!(!may_stay(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "CARGO_BUILD_JOBS"] {
            assert!(may_stay(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn libraries_are_taken_and_the_empty_package_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("deps"), folder.path().join("to"));
        fs::create_dir(&from).expect("deps");
        for name in ["libstd-1.rlib", "libstd-1.rmeta", "std-1.d", "libwasm_targets_empty-1.rlib"] {
            fs::write(from.join(name), "").expect("file");
        }
        take_libraries(&from, &to).expect("take");
        let taken: Vec<_> = fs::read_dir(&to).expect("to").flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(taken, ["libstd-1.rlib"]);
    }

    #[test]
    fn the_source_is_found_by_what_it_holds() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(StdSource::find(folder.path()).is_none());
        let library = folder.path().join("rustc-1.95.0/library");
        for name in ["std", "vendor"] {
            fs::create_dir_all(library.join(name)).expect("folder");
        }
        fs::write(library.join("std/Cargo.toml"), "").expect("manifest");
        let source = StdSource::find(folder.path()).expect("source");
        assert_eq!(source.vendor, Some(library.join("vendor")));
        assert_eq!(source.crates, library);
    }
}
