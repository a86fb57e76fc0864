use std::io;
use std::path::{Path, PathBuf};

/// Why a target is not installed.
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

    /// A program could not be started, mostly because it is not installed.
    #[error("`{command}` could not be started: {source}. {remedy}")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
        /// What to do about it.
        remedy: &'static str,
    },

    /// A program ran and reported failure.
    #[error("`{command}` failed ({status}):\n{said}\n{remedy}")]
    Failed {
        /// The command line.
        command: String,
        /// How the program ended.
        status: String,
        /// The last lines it wrote.
        said: String,
        /// What to do about it.
        remedy: &'static str,
    },

    /// A program ran, and what it printed makes no sense.
    #[error("`{command}` printed nothing of use:\n{said}\n{remedy}")]
    Output {
        /// The command line.
        command: String,
        /// What it printed.
        said: String,
        /// What to do about it.
        remedy: &'static str,
    },

    /// The file system refused something.
    #[error("cannot {action} {}: {source}{}", path.display(), permission_remedy(source))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder it was tried on.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// The `rustc` in use does not belong to rustup, so that rustup would add the target to another
    /// one.
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
        /// The package, and which version of it.
        wanted: String,
        /// The suites looked at.
        suites: String,
        /// The versions that do not fit.
        seen: String,
        /// Why the last of the suites that could not be read could not, or nothing.
        unread: String,
    },

    /// A Debian package lacks a file, or a build did.
    #[error("{what} holds no `{file}`; it must have changed its layout, and `wasm-targets` must follow")]
    Incomplete {
        /// The package or build.
        what: String,
        /// What it should hold.
        file: String,
    },

    /// Neither way led to the target.
    #[error(
        "{targets} could not be installed.\n\
         With rustup: {rustup}\n\
         From Debian's packages: {debian}\n\
         By hand, where the network allows it: rustup target add {targets}"
    )]
    NoWay {
        /// The targets, separated by blanks.
        targets: String,
        /// Why rustup did not do.
        rustup: String,
        /// Why Debian's packages did not do.
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
