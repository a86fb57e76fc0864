//! Which files a build read.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::Artifact;

use super::select::Library;

/// The files, sorted. Cargo names them in the file with the ending `.d` beside the artifact; it does not name the manifests.
pub(super) fn of(library: &Library, artifact: &Path, artifacts: &[Artifact]) -> Vec<PathBuf> {
    let dep_info = fs::read_to_string(artifact.with_extension("d")).unwrap_or_default();
    let mut inputs: BTreeSet<PathBuf> =
        prerequisites(&dep_info).into_iter().map(|path| library.workspace.join(path)).collect();
    // The packages on this machine, which have no other source than a path.
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

/// The files behind the colon of each rule of a makefile, in which a backslash stands before a space.
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
    fn rules_name_their_files() {
        let makefile = "/t/w.wasm: /p/src/lib.rs /p/a\\ b.txt C:\\x\\y.rs\n\n/p/src/lib.rs:\n# comment: no\n";
        assert_eq!(prerequisites(makefile), ["/p/src/lib.rs", "/p/a b.txt", "C:\\x\\y.rs"]);
    }
}
