//! Makes sure that Rust's standard library for the WebAssembly targets is installed for the `rustc`
//! in use.
//!
//! `rustup target add` is tried first. Where it fails, because there is no rustup or because its
//! server cannot be reached, a Debian machine has another way: the source of the standard library
//! is a Debian package, and cargo can build it. Either way the target ends up in rustc's sysroot,
//! and every ordinary command then works unchanged. rustup does not know of a target that was
//! built: to have rustup's own instead, remove the target's folder from `lib/rustlib` and add it
//! with rustup.
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

/// A target that [`ensure`] can install.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `wasm32-unknown-unknown`.
    UnknownUnknown,
    /// `wasm32-wasip1`.
    Wasip1,
    /// `wasm32-wasip2`.
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
/// Where they all are, this runs one `rustc --print sysroot` and nothing else. `progress` gets one
/// plain line a step.
///
/// Any number of processes may do this at once: one works, the others wait for it. A run that is
/// killed leaves no target half-installed; what else it leaves in the sysroot, the next run that
/// has something to install removes.
///
/// # Errors
///
/// Fails where neither rustup nor Debian's packages can provide a target, and says for each what
/// was in the way. The targets that were finished before that stay installed.
pub fn ensure(targets: &[Target], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    ensure_in(Path::new("."), targets, progress)
}

/// As [`ensure`], for the `rustc` that is in use in the folder `dir`: a `rust-toolchain.toml` there
/// can choose another one than in the current folder.
///
/// # Errors
///
/// As [`ensure`].
pub fn ensure_in(dir: &Path, targets: &[Target], progress: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if targets.is_empty() {
        return Ok(());
    }
    let sysroot = Sysroot::of_rustc_in_use(dir)?;
    if sysroot.missing(targets).is_empty() {
        return Ok(());
    }

    let _lock = sysroot.lock(progress)?;
    // Whoever had the lock until now may have installed them.
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
            Err("`wasm32-wasi` is not one of the targets this can install: \
                 wasm32-unknown-unknown, wasm32-wasip1, wasm32-wasip2"
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
