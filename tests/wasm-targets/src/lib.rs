//! Makes sure that Rust's standard library for the WebAssembly targets is installed for the `rustc`
//! in use.
//!
//! It tries `rustup target add` first. This fails if there is no rustup, or if rustup cannot reach
//! its server. Then a Debian machine has another way: the source of the standard library is a
//! Debian package, and cargo can build it. In both cases the target is in rustc's sysroot
//! afterwards, and every ordinary command works unchanged. rustup does not know a target that was
//! built in this way. To have rustup's own target, remove the target's folder from `lib/rustlib`
//! and add the target with rustup.
//!
//! ```no_run
//! use wasm_targets::{Target, ensure};
//!
//! ensure(&[Target::Wasip1], &mut |line| eprintln!("wasm-targets: {line}"))?;
//! # Ok::<(), wasm_targets::Error>(())
//! ```

mod apt;
mod debian;
mod error;
mod process;
mod rustup;
mod std_build;
mod sysroot;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

pub use error::Error;
use sysroot::Sysroot;

/// A WebAssembly target: a package is built for it, and [`ensure`] installs it.
///
/// The default is `wasm32-wasip2`. Plain `cargo build` makes components for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Target {
    /// `wasm32-unknown-unknown`: a component imports the functions of its world and nothing else.
    UnknownUnknown,
    /// `wasm32-wasip1`: `cargo component build` builds for it.
    Wasip1,
    /// `wasm32-wasip2`.
    #[default]
    Wasip2,
}

impl Target {
    /// Every target, in the order in which they are installed.
    pub const ALL: [Self; 3] = [Self::UnknownUnknown, Self::Wasip1, Self::Wasip2];

    /// The triple, as `cargo build --target` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUnknown => "wasm32-unknown-unknown",
            Self::Wasip1 => "wasm32-wasip1",
            Self::Wasip2 => "wasm32-wasip2",
        }
    }

    const fn needs_wasi_libc(self) -> bool {
        !matches!(self, Self::UnknownUnknown)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Target {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|target| target.as_str() == name)
            .ok_or_else(|| Error::UnknownTarget { name: name.to_owned(), known: names(&Self::ALL, ", ") })
    }
}

fn names(targets: &[Target], separator: &str) -> String {
    targets.iter().map(|target| target.as_str()).collect::<Vec<_>>().join(separator)
}

/// Makes sure that each of `targets` is installed for the `rustc` in use: the one that `RUSTC`
/// names, or else `rustc`.
///
/// If all of them are installed, this runs one `rustc --print sysroot` and nothing else. `progress`
/// gets one plain line for each step.
///
/// Any number of processes may do this at the same time: one of them works, and the others wait
/// for it. A run that is killed leaves no target half-installed. It may leave other files in the
/// sysroot: the next run that installs a target removes them.
///
/// # Errors
///
/// It fails if neither rustup nor Debian's packages can provide a target. The error has the reason
/// of each. The targets that were finished before stay installed.
pub fn ensure(targets: &[Target], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    ensure_in(Path::new("."), targets, progress)
}

/// Does what [`ensure`] does, for the `rustc` that is in use in the folder `dir`. A
/// `rust-toolchain.toml` there can choose another `rustc` than in the current folder.
///
/// # Errors
///
/// The same as those of [`ensure`].
pub fn ensure_in(dir: &Path, targets: &[Target], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if targets.is_empty() {
        return Ok(());
    }
    let sysroot = Sysroot::of_rustc_in_use(dir)?;
    if sysroot.missing(targets).is_empty() {
        return Ok(());
    }

    let _lock = sysroot.lock(progress)?;
    // The process that had the lock may have installed them.
    let missing = sysroot.missing(targets);
    if missing.is_empty() {
        return Ok(());
    }
    sysroot.sweep(progress);
    let staging = sysroot.staging()?;

    let Err(rustup) = rustup::install(&sysroot, &staging, &missing, progress) else {
        return Ok(());
    };
    progress(&rustup.to_string());
    let missing = sysroot.missing(&missing);
    debian::install(&sysroot, &staging, &missing, progress).map_err(|debian| Error::NoWay {
        targets: names(&sysroot.missing(&missing), " "),
        rustup: rustup.to_string(),
        debian: debian.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_targets_convert_both_ways() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse::<Target>().ok(), Some(target));
        }
    }

    #[test]
    fn an_unknown_name_is_told_the_known_ones() {
        let message = "wasm32-wasi".parse::<Target>().map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err("there is no target \"wasm32-wasi\": use one of wasm32-unknown-unknown, wasm32-wasip1, wasm32-wasip2"
                .to_owned())
        );
    }

    #[test]
    fn nothing_asked_for_is_nothing_done() {
        let mut lines = 0;
        assert!(ensure(&[], &mut |_| lines += 1).is_ok());
        assert_eq!(lines, 0);
    }
}
