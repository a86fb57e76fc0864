//! Builds the standard library from Debian's package of its source, if rustup does not help.
//!
//! Everything happens in the staging folder, apt's lists and cache included.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::apt::{Archive, Wanted};
use crate::std_build::{Compiler, StdSource};
use crate::sysroot::{Sysroot, WASI_LIBC};
use crate::{Error, Target, names};

/// Builds and installs each of `targets`.
pub(crate) fn install(
    sysroot: &Sysroot,
    staging: &TempDir,
    targets: &[Target],
    progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let staging = staging.path();
    let compiler = Compiler::of(sysroot)?;
    progress(&format!("building {} from Debian's packages instead", names(targets, ", ")));

    let mut archive = Archive::of_this_machine(&staging.join("apt"))?;
    let (version, source) = archive.fetch(&rust_src(&compiler), progress)?;
    let wasi: Vec<_> = targets.iter().copied().filter(|target| target.needs_wasi_libc()).collect();
    let wasi_libc = if wasi.is_empty() {
        None
    } else {
        let (_, folder) = archive.fetch(&wasi_libc(&wasi), progress)?;
        Some(folder)
    };

    for &target in targets {
        progress(&format!("building std for {target} from Debian's rust-src {version} (about a minute)"));
        let finished = staging.join("finished").join(target.as_str());
        let lib = finished.join("lib");
        source.build(&compiler, target, staging, &lib, progress)?;
        if let Some(libc) = wasi_libc.as_deref().and_then(|folder| libc_folder(folder, target)) {
            copy_libc(&libc, &lib.join("self-contained"))?;
        }
        sysroot.adopt(target, &finished, staging)?;
        progress(&format!("{target} is installed"));
    }
    Ok(())
}

fn rust_src(compiler: &Compiler) -> Wanted<'_, StdSource> {
    Wanted {
        package: "rust-src",
        detail: compiler.minor().to_owned(),
        part: "./usr/src/rustc-*/library",
        choose: Box::new(|versions| source_version(versions, compiler.release())),
        look: Box::new(|unpacked| StdSource::find(&unpacked.join("usr/src"))),
    }
}

fn wasi_libc(targets: &[Target]) -> Wanted<'_, PathBuf> {
    let whole = |unpacked: &Path| targets.iter().all(|t| libc_folder(unpacked, *t).is_some());
    Wanted {
        package: "wasi-libc",
        detail: format!("for {}", names(targets, " and ")),
        part: "./usr/lib",
        choose: Box::new(|versions| versions.first().cloned()),
        look: Box::new(move |unpacked| whole(unpacked).then(|| unpacked.to_owned())),
    }
}

/// The Debian version that is the compiler's release. If there is none, a version of the same minor release.
fn source_version(versions: &[String], release: &str) -> Option<String> {
    let upstream = |version: &str| {
        let version = version.split_once(':').map_or(version, |(_, rest)| rest);
        version.split(['+', '-', '~']).next().unwrap_or_default().to_owned()
    };
    let minor = |version: &str| version.split('.').take(2).collect::<Vec<_>>().join(".");
    let release = upstream(release);
    let same = versions.iter().find(|version| upstream(version) == release);
    same.or_else(|| versions.iter().find(|version| minor(&upstream(version)) == minor(&release))).cloned()
}

/// The C library's folder for `target` in an unpacked wasi-libc, if it is complete.
fn libc_folder(package: &Path, target: Target) -> Option<PathBuf> {
    let own = target.as_str();
    // Debian's name for WASI 0.1 dates from before there was another.
    let candidates: &[&str] = if target == Target::Wasip1 { &[own, "wasm32-wasi"] } else { &[own] };
    candidates
        .iter()
        .map(|name| package.join("usr/lib").join(name))
        .find(|folder| WASI_LIBC.iter().all(|file| folder.join(file).is_file()))
}

fn copy_libc(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::io("create", to))?;
    for name in WASI_LIBC {
        let file = from.join(name);
        fs::copy(&file, to.join(name)).map_err(Error::io("copy", &file))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_fits_the_compiler() {
        let versions = ["1.96.1+dfsg1-2~bpo13+1", "1.95.0+dfsg1-2~bpo13+1", "1.93.1+dfsg1-1"];
        let versions = versions.map(str::to_owned);
        let chosen = |release| source_version(&versions, release);
        assert_eq!(chosen("1.95.0").as_deref(), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(chosen("1.96.0").as_deref(), Some("1.96.1+dfsg1-2~bpo13+1"));
        assert_eq!(chosen("1.93.1-beta.2").as_deref(), Some("1.93.1+dfsg1-1"));
        assert_eq!(chosen("1.9.0"), None);
        assert_eq!(chosen("1.97.0-nightly"), None);
        let with_epoch = ["2:1.95.0-1".to_owned()];
        assert_eq!(source_version(&with_epoch, "1.95.0").as_deref(), Some("2:1.95.0-1"));
    }

    #[test]
    fn a_c_library_must_be_whole() {
        let package = tempfile::tempdir().expect("a temporary folder");
        let folder = package.path().join("usr/lib/wasm32-wasi");
        fs::create_dir_all(&folder).expect("folder");
        assert_eq!(libc_folder(package.path(), Target::Wasip1), None);
        for file in WASI_LIBC {
            fs::write(folder.join(file), "").expect("file");
        }
        assert_eq!(libc_folder(package.path(), Target::Wasip1), Some(folder));
        assert_eq!(libc_folder(package.path(), Target::Wasip2), None);
    }
}
