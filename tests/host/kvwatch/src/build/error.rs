use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use super::Target;

/// Why a package was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder has no package.
    #[error("there is no cargo package in {}: no Cargo.toml is there", dir.display())]
    NoPackage {
        /// The folder.
        dir: PathBuf,
    },
    /// The target is not installed, and cannot be installed.
    #[error("the target {target} cannot be installed")]
    Target {
        /// The target.
        target: Target,
        /// The cause.
        source: wasm_targets::Error,
    },
    /// Cargo cannot be run.
    #[error("cannot run {}: install Rust, or name a cargo with the environment variable CARGO", cargo.display())]
    Cargo {
        /// The program.
        cargo: PathBuf,
        /// Why it did not run.
        source: io::Error,
    },
    /// Cargo's messages cannot be read.
    #[error("cannot read the messages of cargo about {}", dir.display())]
    Messages {
        /// The package.
        dir: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Cargo cannot read the manifest, or a manifest of the workspace.
    #[error("cargo cannot read the package in {}: {message}", dir.display())]
    Manifest {
        /// The package.
        dir: PathBuf,
        /// The message of cargo.
        message: String,
        /// The files that cargo names. They need not exist.
        inputs: Vec<PathBuf>,
    },
    /// Cargo failed. Its messages say why.
    #[error("cargo did not build {} for {target} ({status}): the messages of cargo above say why", dir.display())]
    Failed {
        /// The package.
        dir: PathBuf,
        /// The target.
        target: Target,
        /// The exit status of cargo.
        status: ExitStatus,
        /// Files and folders in which a change can be the remedy: the sources and manifests of the packages on this machine that
        /// take part, and files that the compiler could not read. They need not exist. The files that the compiler could not
        /// read are known only if cargo's lines are read, as by [`run_with`](super::Build::run_with).
        inputs: Vec<PathBuf>,
    },
    /// A [`Stop`](super::Stop) ended the build.
    #[error("the build of {} was stopped", dir.display())]
    Stopped {
        /// The package.
        dir: PathBuf,
    },
    /// The package has a library that is not built as a WebAssembly module.
    #[error("{} builds no component: put `crate-type = [\"cdylib\"]` under [lib] in its Cargo.toml", dir.display())]
    NoLibrary {
        /// The package.
        dir: PathBuf,
    },
    /// The package builds programs only.
    #[error(
        "{} builds a program, not a component: move the watcher from src/main.rs to src/lib.rs, and put \
         `crate-type = [\"cdylib\"]` under [lib] in its Cargo.toml",
        dir.display()
    )]
    Program {
        /// The package.
        dir: PathBuf,
    },
    /// The workspace has several packages that build a component.
    #[error("{} is a workspace of several components: choose one with `-p`, from {}", dir.display(), names.join(", "))]
    Several {
        /// The workspace.
        dir: PathBuf,
        /// The packages that build a component.
        names: Vec<String>,
    },
    /// The workspace has no package of that name.
    #[error("the workspace of {} has no package {name:?}: it has {}", dir.display(), names.join(", "))]
    UnknownPackage {
        /// The workspace.
        dir: PathBuf,
        /// The name.
        name: String,
        /// The packages of the workspace.
        names: Vec<String>,
    },
    /// The file that cargo made cannot be read.
    #[error("cannot read {}, which cargo made", path.display())]
    Artifact {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No component can be made from the core module.
    #[error("{} cannot be made a component: it may import something that no component can import", path.display())]
    Encode {
        /// The core module.
        path: PathBuf,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
}
