//! Components of cargo packages, with no tool but cargo.
//!
//! ```no_run
//! use kvwatch::build::{self, Target};
//!
//! let built = build::package("examples/audit-log", Target::Wasip2)?;
//! std::fs::write("audit_log.wasm", built.component)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::env;
use std::error::Error as StdError;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::thread;

use cargo_metadata::{Artifact, CrateType, Message};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::engine::watcher::Binary;

/// What a package is built for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// `wasm32-unknown-unknown`: the component imports the world and nothing else.
    UnknownUnknown,
    /// `wasm32-wasip1`: what `cargo component build` builds for.
    Wasip1,
    /// `wasm32-wasip2`.
    #[default]
    Wasip2,
}

/// What became of building a package.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Built {
    /// The component.
    pub component: Vec<u8>,
    /// The file that cargo made, which is the component or the core module in it.
    pub artifact: PathBuf,
}

/// Why a package was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder is none of a package.
    #[error("there is no cargo package in {}: no Cargo.toml is there", dir.display())]
    NoPackage {
        /// The folder.
        dir: PathBuf,
    },
    /// The target is not installed, and could not be.
    #[error("the target {target} cannot be installed")]
    Target {
        /// The target.
        target: Target,
        /// Why not.
        source: wasm_targets::Error,
    },
    /// Cargo cannot be run.
    #[error("cannot run {}: install Rust, or name a cargo with the environment variable CARGO", cargo.display())]
    Cargo {
        /// What was to be run.
        cargo: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// Cargo's messages cannot be read.
    #[error("cannot read what cargo says of {}", dir.display())]
    Messages {
        /// The package.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Cargo has failed, and has said why.
    #[error("cargo did not build {} for {target} ({status}): what it said is above", dir.display())]
    Failed {
        /// The package.
        dir: PathBuf,
        /// The target.
        target: Target,
        /// How it ended.
        status: ExitStatus,
    },
    /// The package has no library that could be a component.
    #[error("{} builds no component: put `crate-type = [\"cdylib\"]` under [lib] in its Cargo.toml", dir.display())]
    NoLibrary {
        /// The package.
        dir: PathBuf,
    },
    /// It is a workspace of several.
    #[error("{} is a workspace of several components, {}: name the folder of one", dir.display(), names.join(", "))]
    Several {
        /// The workspace.
        dir: PathBuf,
        /// The libraries in it.
        names: Vec<String>,
    },
    /// The file that cargo made cannot be read.
    #[error("cannot read {}, which cargo made", path.display())]
    Artifact {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The core module cannot be made a component.
    #[error("{} cannot be made a component: it may import what no component can", path.display())]
    Encode {
        /// The core module.
        path: PathBuf,
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// Builds the package in `dir` as `cargo build --release` does, and makes a component of what comes of it.
///
/// Cargo writes to this process's standard error. A target that is not installed is installed first.
///
/// # Errors
///
/// When the package does not build, or builds no component.
pub fn package(dir: impl AsRef<Path>, target: Target) -> Result<Built, Error> {
    package_to(dir.as_ref(), target, Colour::Auto, None)
}

/// Builds a package as [`package`] does, and gives what cargo would write to standard error to `line`, line by line.
///
/// # Errors
///
/// When the package does not build, or builds no component.
pub fn package_with(
    dir: impl AsRef<Path>,
    target: Target,
    colour: Colour,
    mut line: impl FnMut(&str) + Send,
) -> Result<Built, Error> {
    package_to(dir.as_ref(), target, colour, Some(&mut line))
}

/// Whether cargo uses colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Where it thinks fit.
    #[default]
    Auto,
    /// Wherever it writes to.
    Always,
    /// Nowhere.
    Never,
}

/// What takes a line that cargo writes.
type Line<'a> = &'a mut (dyn FnMut(&str) + Send);

fn package_to(dir: &Path, target: Target, colour: Colour, line: Option<Line<'_>>) -> Result<Built, Error> {
    let line = Mutex::new(line);
    if !dir.join("Cargo.toml").is_file() {
        return Err(Error::NoPackage { dir: dir.to_owned() });
    }
    wasm_targets::ensure(&[target.into()], &mut |text| tell(&line, text))
        .map_err(|source| Error::Target { target, source })?;
    let artifact = cargo_build(dir, target, colour, &line)?;
    let bytes = fs::read(&artifact).map_err(|source| Error::Artifact { path: artifact.clone(), source })?;
    let component = match Binary::of(&bytes) {
        Some(Binary::Module) => encode(&bytes).map_err(|source| Error::Encode { path: artifact.clone(), source })?,
        _ => bytes,
    };
    Ok(Built { component, artifact })
}

/// Makes a component of a core module that has the WIT it was built with in it, as cargo makes them for the targets that know
/// nothing of components.
///
/// # Errors
///
/// When the module has no such WIT, or does not keep to it.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
    Ok(ComponentEncoder::default().module(module)?.adapter(ADAPTER_NAME, ADAPTER)?.validate(true).encode()?)
}

fn tell(line: &Mutex<Option<Line<'_>>>, text: &str) {
    match &mut *line.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(line) => line(text),
        None => eprintln!("{text}"),
    }
}

/// Runs cargo; gives the library that it made.
fn cargo_build(dir: &Path, target: Target, colour: Colour, line: &Mutex<Option<Line<'_>>>) -> Result<PathBuf, Error> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--release", "--message-format=json-render-diagnostics", "--target", target.as_str()])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if line.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        command.stderr(Stdio::piped());
    }
    match colour {
        Colour::Auto => {}
        Colour::Always => _ = command.args(["--color", "always"]),
        Colour::Never => _ = command.args(["--color", "never"]),
    }
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_another_package(name)) {
        command.env_remove(name);
    }
    let cannot_run = |source| Error::Cargo { cargo: PathBuf::from(&cargo), source };
    let cannot_read = |source| Error::Messages { dir: dir.to_owned(), source };
    let mut child = command.spawn().map_err(cannot_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Both are read at once: cargo would wait for whoever reads one of them only.
    let artifacts = thread::scope(|scope| {
        let artifacts = scope.spawn(|| artifacts(stdout, line).map_err(cannot_read));
        for text in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n')) {
            tell(line, String::from_utf8_lossy(&text.map_err(cannot_read)?).trim_end());
        }
        artifacts.join().unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    let status = child.wait().map_err(cannot_run)?;
    if !status.success() {
        return Err(Error::Failed { dir: dir.to_owned(), target, status });
    }
    library(dir, &artifacts)
}

/// What cargo says that it made.
fn artifacts(stdout: Option<ChildStdout>, line: &Mutex<Option<Line<'_>>>) -> io::Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for message in stdout.into_iter().flat_map(|stdout| Message::parse_stream(BufReader::new(stdout))) {
        match message? {
            Message::CompilerArtifact(artifact) => artifacts.push(artifact),
            Message::TextLine(text) => tell(line, &text),
            _ => {}
        }
    }
    Ok(artifacts)
}

/// The library of the package in `dir`, or the only one of its workspace.
fn library(dir: &Path, artifacts: &[Artifact]) -> Result<PathBuf, Error> {
    let manifest = dir.join("Cargo.toml").canonicalize().ok();
    let libraries = || artifacts.iter().filter_map(|artifact| Some((artifact, wasm(artifact)?)));
    let own = |artifact: &Artifact| artifact.manifest_path.canonicalize().ok() == manifest;
    if let Some((_, path)) = libraries().find(|(artifact, _)| own(artifact)) {
        return Ok(path);
    }
    match libraries().collect::<Vec<_>>().as_slice() {
        [] => Err(Error::NoLibrary { dir: dir.to_owned() }),
        [(_, path)] => Ok(path.clone()),
        several => {
            let names = several.iter().map(|(artifact, _)| artifact.target.name.clone()).collect();
            Err(Error::Several { dir: dir.to_owned(), names })
        }
    }
}

fn wasm(artifact: &Artifact) -> Option<PathBuf> {
    let cdylib = artifact.target.crate_types.contains(&CrateType::CDyLib);
    let file = artifact.filenames.iter().find(|file| file.extension() == Some("wasm"))?;
    cdylib.then(|| file.clone().into_std_path_buf())
}

/// Whether an outer cargo has set this variable to tell of the package that it runs or builds. The inner one sets its own; one
/// that it does not set would be taken for its own by a build script, and make cargo build anew what is built.
fn is_of_another_package(variable: &OsStr) -> bool {
    const NAMES: [&str; 8] = [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_MANIFEST_LINKS",
        "CARGO_CRATE_NAME",
        "CARGO_BIN_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "OUT_DIR",
    ];
    const PREFIXES: [&str; 4] = ["CARGO_PKG_", "CARGO_BIN_EXE_", "CARGO_CFG_", "CARGO_FEATURE_"];
    let Some(variable) = variable.to_str() else { return false };
    NAMES.contains(&variable) || PREFIXES.iter().any(|prefix| variable.starts_with(prefix))
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 3] = [Self::UnknownUnknown, Self::Wasip1, Self::Wasip2];

    /// Its name, as `cargo build --target` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUnknown => "wasm32-unknown-unknown",
            Self::Wasip1 => "wasm32-wasip1",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }
}

impl From<Target> for wasm_targets::Target {
    fn from(target: Target) -> Self {
        match target {
            Target::UnknownUnknown => Self::UnknownUnknown,
            Target::Wasip1 => Self::Wasip1,
            Target::Wasip2 => Self::Wasip2,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is not the name of a [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no target {0:?}: it is wasm32-unknown-unknown, wasm32-wasip1 or wasm32-wasip2")]
pub struct UnknownTarget(String);

impl FromStr for Target {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Self, UnknownTarget> {
        Self::ALL.into_iter().find(|target| target.as_str() == name).ok_or_else(|| UnknownTarget(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_targets_by_their_names() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse(), Ok(target));
        }
        assert!("wasm32-wasi".parse::<Target>().is_err());
    }

    #[test]
    fn keeps_the_callers_settings_from_the_packages() {
        for name in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_BIN_EXE_kvwatch", "OUT_DIR"] {
            assert!(is_of_another_package(OsStr::new(name)), "{name}");
        }
        for name in ["RUSTFLAGS", "CARGO_HOME", "CARGO_TARGET_DIR", "CARGO", "CARGO_NET_OFFLINE", "PATH"] {
            assert!(!is_of_another_package(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn a_folder_without_a_package_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = package(dir.path(), Target::Wasip2).unwrap_err();
        assert!(error.to_string().ends_with("no Cargo.toml is there"), "{error}");
    }
}
