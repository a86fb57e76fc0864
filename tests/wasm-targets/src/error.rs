use std::io;
use std::path::{Path, PathBuf};

/// The reason why a target is not installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name is not the name of a target that this crate knows.
    #[error("there is no target {name:?}: use one of {known}")]
    UnknownTarget {
        /// The name.
        name: String,
        /// The names of the targets that this crate knows.
        known: String,
    },

    /// A program could not be started. In most cases it is not installed.
    #[error("`{command}` could not be started: {source}. {remedy}")]
    Start {
        /// The command line.
        command: String,
        /// The error of the system.
        source: io::Error,
        /// The remedy.
        remedy: &'static str,
    },

    /// A program ran and reported failure.
    #[error("`{command}` failed ({status}):\n{said}\n{remedy}")]
    Failed {
        /// The command line.
        command: String,
        /// The exit status of the program.
        status: String,
        /// The last lines that it wrote.
        said: String,
        /// The remedy.
        remedy: &'static str,
    },

    /// A program ran, and its output has an unexpected form.
    #[error("`{command}` printed nothing of use:\n{said}\n{remedy}")]
    Output {
        /// The command line.
        command: String,
        /// The output.
        said: String,
        /// The remedy.
        remedy: &'static str,
    },

    /// The file system refused something.
    #[error("cannot {action} {}: {source}{}", path.display(), permission_remedy(source))]
    Io {
        /// The attempt, as a verb.
        action: &'static str,
        /// The file or folder of the attempt.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },

    /// The `rustc` in use does not belong to rustup. rustup would add the target to another one.
    #[error("{} is not a toolchain that rustup installed", sysroot.display())]
    NotRustups {
        /// The sysroot of the `rustc` in use.
        sysroot: PathBuf,
    },

    /// No suite of the machine's Debian archive has the package.
    #[error(
        "no suite of the Debian archive has {wanted} (suites tried: {suites}; versions seen: \
         {seen}); use a Rust version whose source is among them{unread}"
    )]
    NoPackage {
        /// The package and its version.
        wanted: String,
        /// The suites that were searched.
        suites: String,
        /// The versions that do not fit.
        seen: String,
        /// The error of the last suite that could not be read. Empty if all could be read.
        unread: String,
    },

    /// A Debian package lacks a file, or a build did.
    #[error("{what} holds no `{file}`; it must have changed its layout, and `wasm-targets` must follow")]
    Incomplete {
        /// The package or build.
        what: String,
        /// The file that it should have.
        file: String,
    },

    /// Neither way could install the target.
    #[error(
        "{targets} could not be installed.\n\
         With rustup: {rustup}\n\
         From Debian's packages: {debian}\n\
         By hand, where the network allows it: rustup target add {targets}"
    )]
    NoWay {
        /// The targets, separated by blanks.
        targets: String,
        /// The error of rustup.
        rustup: String,
        /// The error of the way through Debian's packages.
        debian: String,
    },
}

impl Error {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.as_ref().to_owned(), source }
    }
}

fn permission_remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; run `cargo run -p wasm-targets` once as the user who owns the Rust toolchain"
        }
        io::ErrorKind::StorageFull => "; about one gigabyte must be free there",
        _ => "",
    }
}
