//! Finds the files that a build read, or tried to read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::Artifact;

use super::Build;
use super::select::{self, Library};

/// The files, sorted. Cargo names them in the file with the ending `.d` beside the artifact; it does not name the manifests.
pub(super) fn of(library: &Library, artifact: &Path, artifacts: &[Artifact]) -> Vec<PathBuf> {
    let dep_info = fs::read_to_string(artifact.with_extension("d")).unwrap_or_default();
    let mut inputs: BTreeSet<PathBuf> =
        prerequisites(&dep_info).into_iter().map(|path| library.workspace.join(path)).collect();
    // The packages on this machine. They have no other source than a path.
    let local = artifacts.iter().filter(|artifact| artifact.package_id.repr.starts_with("path+"));
    inputs.extend(local.map(|artifact| artifact.manifest_path.clone().into_std_path_buf()));
    inputs.insert(library.manifest.clone());
    // A build script that is added later changes the build too.
    inputs.insert(library.manifest.with_file_name("build.rs"));
    for name in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml"] {
        inputs.insert(library.workspace.join(name));
    }
    // A build script wrote these: they are results of the build.
    inputs.retain(|input| !input.starts_with(&library.output));
    inputs.into_iter().collect()
}

/// The files and folders in which a change can be the remedy for a build that failed. Such a build writes no list of the files
/// that it read.
pub(super) fn of_failed(build: &Build, library: &Library, unreadable: Vec<PathBuf>) -> Vec<PathBuf> {
    // If a dependency is missing, cargo prints the metadata of a package only without its dependencies.
    let metadata = select::metadata(build, &["--offline", "--filter-platform", build.target.as_str()])
        .or_else(|_| select::metadata(build, &["--no-deps"]));
    let packages = metadata.map(|metadata| metadata.packages).unwrap_or_default();
    let local = packages.iter().filter(|package| package.source.is_none());
    let folders = local.flat_map(|package| {
        let dependencies = package.dependencies.iter().filter_map(|dependency| dependency.path.clone());
        package.manifest_path.parent().map(Into::into).into_iter().chain(dependencies)
    });
    let folders: BTreeSet<PathBuf> = folders.map(cargo_metadata::camino::Utf8PathBuf::into_std_path_buf).collect();
    let mut inputs: BTreeSet<PathBuf> = unreadable.into_iter().collect();
    for folder in folders {
        inputs.extend(["src", "Cargo.toml", "build.rs"].map(|name| folder.join(name)));
    }
    inputs.insert(library.workspace.join("Cargo.toml"));
    inputs.into_iter().collect()
}

/// The file that the compiler could not read, if this line of cargo's output says so. It is relative to the workspace.
pub(super) fn unreadable(line: &str) -> Option<String> {
    let line = anstream::adapter::strip_str(line).to_string();
    let (_, rest) = line.split_once("error: couldn't read `")?;
    let (path, _) = rest.split_once("`: ")?;
    Some(path.to_owned())
}

/// The absolute paths that a message quotes.
pub(super) fn quoted(message: &str) -> Vec<PathBuf> {
    message.split('`').skip(1).step_by(2).map(PathBuf::from).filter(|path| path.is_absolute()).collect()
}

/// The files after the colon of each rule of a makefile. A backslash stands before a space in a name.
fn prerequisites(makefile: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for rule in makefile.lines().filter(|line| !line.starts_with('#')) {
        // A path on Windows has a colon too, but no space behind it.
        let Some((_, files)) = rule.split_once(": ") else { continue };
        let mut path = String::new();
        let mut characters = files.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\\' if characters.peek() == Some(&' ') => path.extend(characters.next()),
                ' ' => paths.push(std::mem::take(&mut path)),
                _ => path.push(c),
            }
        }
        paths.push(path);
    }
    paths.retain(|path| !path.is_empty());
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_names_the_file_that_it_cannot_read() {
        let line =
            "\u{1b}[1m\u{1b}[91merror\u{1b}[0m\u{1b}[1m: couldn't read `src/../../a.txt`: No such file or directory";
        assert_eq!(unreadable(line).as_deref(), Some("src/../../a.txt"));
        assert_eq!(unreadable("error: couldn't find `a.txt`: "), None);
    }

    #[test]
    #[cfg(unix)]
    fn messages_quote_paths() {
        let message = "failed to load manifest for dependency `a`\n\nCaused by:\n  failed to read `/p/a/Cargo.toml`\n";
        assert_eq!(quoted(message), [Path::new("/p/a/Cargo.toml")]);
    }

    #[test]
    fn rules_name_their_files() {
        let makefile = "/t/w.wasm: /p/src/lib.rs /p/a\\ b.txt C:\\x\\y.rs\n\n/p/src/lib.rs:\n# comment: no\n";
        assert_eq!(prerequisites(makefile), ["/p/src/lib.rs", "/p/a b.txt", "C:\\x\\y.rs"]);
    }
}
