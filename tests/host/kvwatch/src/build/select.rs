//! Finds the library of a package or a workspace that is the watcher.

use std::path::PathBuf;

use cargo_metadata::{Metadata, MetadataCommand, Package};

use super::{Build, Error, cargo, inputs};

/// The library that is built.
pub(super) struct Library {
    /// The name of its package.
    pub(super) package: String,
    /// The manifest of its package.
    pub(super) manifest: PathBuf,
    /// The folder of the workspace.
    pub(super) workspace: PathBuf,
    /// The folder that cargo writes to.
    pub(super) output: PathBuf,
}

/// Finds the library. This happens before the build.
pub(super) fn library(build: &Build) -> Result<Library, Error> {
    let dir = || build.dir.clone();
    let metadata = metadata(build, &["--no-deps"])?;
    let packages = metadata.workspace_packages();
    let package = match &build.package {
        Some(name) => find(&packages, |package| package.name.as_str() == name)
            .ok_or_else(|| Error::UnknownPackage { dir: dir(), name: name.clone(), names: names(&packages) })?,
        None => match own(build, &packages) {
            Some(package) => package,
            None => only(build, &packages)?,
        },
    };
    if !is_cdylib(package) {
        let has_library = package.targets.iter().any(|target| target.is_lib() || target.is_proc_macro());
        let dir = package.manifest_path.parent().map_or_else(dir, |dir| dir.as_std_path().to_owned());
        return Err(if has_library || !package.targets.iter().any(cargo_metadata::Target::is_bin) {
            Error::NoLibrary { dir }
        } else {
            Error::Program { dir }
        });
    }
    Ok(Library {
        package: package.name.to_string(),
        manifest: package.manifest_path.clone().into_std_path_buf(),
        workspace: metadata.workspace_root.clone().into_std_path_buf(),
        output: metadata.target_directory.into_std_path_buf(),
    })
}

/// The package whose manifest is in the folder.
fn own<'a>(build: &Build, packages: &[&'a Package]) -> Option<&'a Package> {
    let manifest = build.dir.join("Cargo.toml").canonicalize().ok()?;
    find(packages, |package| package.manifest_path.canonicalize().is_ok_and(|path| path == manifest))
}

/// The only watcher of a workspace that has no package in its own folder.
fn only<'a>(build: &Build, packages: &[&'a Package]) -> Result<&'a Package, Error> {
    let watchers: Vec<_> = packages.iter().copied().filter(|package| is_cdylib(package)).collect();
    match watchers.as_slice() {
        [] => Err(Error::NoLibrary { dir: build.dir.clone() }),
        [watcher] => Ok(watcher),
        several => Err(Error::Several { dir: build.dir.clone(), names: names(several) }),
    }
}

/// The metadata of the packages, with more options of `cargo metadata`.
pub(super) fn metadata(build: &Build, options: &[&str]) -> Result<Metadata, Error> {
    let mut command = MetadataCommand::new().cargo_command();
    command.args(options).current_dir(&build.dir);
    let mut command = cargo::clean(command);
    let output = command.output().map_err(|source| Error::Cargo { cargo: command.get_program().into(), source })?;
    let manifest = |message: String| {
        let inputs = inputs::quoted(&message);
        Error::Manifest { dir: build.dir.clone(), message, inputs }
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        return Err(manifest(said.strip_prefix("error: ").unwrap_or(said).to_owned()));
    }
    MetadataCommand::parse(String::from_utf8_lossy(&output.stdout)).map_err(|error| manifest(error.to_string()))
}

fn is_cdylib(package: &Package) -> bool {
    package.targets.iter().any(cargo_metadata::Target::is_cdylib)
}

fn find<'a>(packages: &[&'a Package], is: impl Fn(&Package) -> bool) -> Option<&'a Package> {
    packages.iter().copied().find(|package| is(package))
}

fn names(packages: &[&Package]) -> Vec<String> {
    packages.iter().map(|package| package.name.to_string()).collect()
}
