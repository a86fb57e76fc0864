//! Builds components from cargo packages. It needs no tool except cargo.
//!
//! ```no_run
//! use kvwatch::build::{self, Target};
//!
//! let built = build::package("examples/audit-log", Target::Wasip2)?;
//! std::fs::write("audit_log.wasm", built.component)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cargo;
mod error;
mod inputs;
mod select;
mod stop;

use std::error::Error as StdError;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wit_component::ComponentEncoder;

pub use error::Error;
pub use stop::Stop;
pub use wasm_targets::Target;

use crate::engine::watcher::Binary;

/// The result of a build.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Built {
    /// The component.
    pub component: Vec<u8>,
    /// The file that cargo made: the component, or the core module in it.
    pub artifact: PathBuf,
    /// The files that the build read: sources, files of `include_str!`, manifests, and the files of path dependencies. Files of
    /// packages from a registry are not in the list.
    pub inputs: Vec<PathBuf>,
    /// The manifest of the package.
    pub manifest: PathBuf,
}

/// A build: the package and the options.
///
/// ```no_run
/// use kvwatch::build::{Build, Target};
///
/// let built = Build::new("watchers").target(Target::Wasip1).package("audit-log").features(["json"]).run()?;
/// println!("{} files were read", built.inputs.len());
/// # Ok::<(), kvwatch::build::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a build does nothing before `run`"]
pub struct Build {
    dir: PathBuf,
    target: Target,
    package: Option<String>,
    features: Vec<String>,
    profile: String,
    colour: Colour,
    stop: Option<Stop>,
}

/// Sets whether cargo uses colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Cargo uses colours if its standard error is a terminal.
    #[default]
    Auto,
    /// Cargo always uses colours.
    Always,
    /// Cargo never uses colours.
    Never,
}

/// A function that receives each line that cargo writes.
type Line<'a> = &'a mut (dyn FnMut(&str) + Send);

/// Builds the package in `dir` as `cargo build --release` does, and makes a component of the result.
///
/// Cargo writes to this process's standard error. A target that is not installed is installed first.
///
/// # Errors
///
/// When the build fails, or its result is not a component.
pub fn package(dir: impl AsRef<Path>, target: Target) -> Result<Built, Error> {
    Build::new(dir.as_ref()).target(target).run()
}

impl Build {
    /// Builds the package, or the only watcher of the workspace, in `dir`, with the profile `release`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            target: Target::default(),
            package: None,
            features: Vec::new(),
            profile: "release".to_owned(),
            colour: Colour::Auto,
            stop: None,
        }
    }

    /// Sets the target. The default is `wasm32-wasip2`.
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Selects a package of the workspace, as `cargo build --package` does.
    pub fn package(mut self, name: impl Into<String>) -> Self {
        self.package = Some(name.into());
        self
    }

    /// Turns on features, as `cargo build --features` does.
    pub fn features<S: Into<String>>(mut self, features: impl IntoIterator<Item = S>) -> Self {
        self.features.extend(features.into_iter().map(Into::into));
        self
    }

    /// Sets the profile, as `cargo build --profile` does.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Sets whether cargo uses colours.
    pub fn colour(mut self, colour: Colour) -> Self {
        self.colour = colour;
        self
    }

    /// Lets `stop` end the build from another thread. Cargo then runs in a process group of its own, so a Ctrl-C at the terminal
    /// does not reach it: the caller calls [`Stop::stop`].
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = Some(stop);
        self
    }

    /// Builds. Cargo writes to this process's standard error.
    ///
    /// # Errors
    ///
    /// When the build fails, or its result is not a component.
    pub fn run(&self) -> Result<Built, Error> {
        self.build(None)
    }

    /// Builds. Passes each line that cargo would write to standard error to `line`.
    ///
    /// # Errors
    ///
    /// When the build fails, or its result is not a component.
    pub fn run_with(&self, mut line: impl FnMut(&str) + Send) -> Result<Built, Error> {
        self.build(Some(&mut line))
    }

    fn build(&self, line: Option<Line<'_>>) -> Result<Built, Error> {
        if !self.dir.join("Cargo.toml").is_file() {
            return Err(Error::NoPackage { dir: self.dir.clone() });
        }
        let line = Mutex::new(line);
        let library = select::library(self)?;
        let target = self.target;
        wasm_targets::ensure_in(&self.dir, &[target], &mut |text| tell(&line, text))
            .map_err(|source| Error::Target { target, source })?;
        let artifacts = cargo::build(self, &library, &line)?;
        let artifact =
            cargo::library(&library, &artifacts).ok_or_else(|| Error::NoLibrary { dir: self.dir.clone() })?;
        let bytes = fs::read(&artifact).map_err(|source| Error::Artifact { path: artifact.clone(), source })?;
        let component = match Binary::of(&bytes) {
            Some(Binary::Module) => {
                encode(&bytes).map_err(|source| Error::Encode { path: artifact.clone(), source })?
            }
            _ => bytes,
        };
        let inputs = inputs::of(&library, &artifact, &artifacts);
        Ok(Built { component, artifact, inputs, manifest: library.manifest })
    }
}

/// Makes a component from a core module that contains its WIT. Cargo makes such modules for targets without components.
///
/// # Errors
///
/// When the module contains no WIT, or does not fit it.
pub fn encode(module: &[u8]) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
    Ok(ComponentEncoder::default().module(module)?.adapter(ADAPTER_NAME, ADAPTER)?.validate(true).encode()?)
}

fn tell(line: &Mutex<Option<Line<'_>>>, text: &str) {
    match &mut *line.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(line) => line(text),
        None => eprintln!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_package_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = package(dir.path(), Target::Wasip2).unwrap_err();
        assert!(error.to_string().ends_with("no Cargo.toml is there"), "{error}");
    }
}
