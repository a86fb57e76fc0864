use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueHint};
use kvwatch::build::{Build, Colour, Stop, Target};
use kvwatch::{Cache, Engine, Watcher};

use super::progress::Spinner;
use super::snapshot::Places;
use super::{Result, args, escape, screen, style};

/// The watcher that a subcommand uses.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatcherArgs {
    /// A component, or a cargo package that is built first: its folder or its Cargo.toml
    #[arg(value_hint = ValueHint::AnyPath)]
    watcher: PathBuf,

    /// The target that a package is built for
    #[arg(
        long,
        value_name = "TARGET",
        default_value_t,
        value_parser = PossibleValuesParser::new(Target::ALL.map(Target::as_str)).try_map(|name| name.parse::<Target>()),
    )]
    target: Target,

    /// The package of a workspace that is built
    #[arg(long, short, value_name = "NAME")]
    package: Option<String>,

    /// The features that a package is built with, in the form that cargo takes
    #[arg(long, value_name = "FEATURES")]
    features: Vec<String>,

    /// The profile that a package is built with
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,

    /// Compile the watcher at each start, and do not use the folder with compiled watchers
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// A component, its name in messages, and the files that it was made from.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) places: Places,
}

/// The builds of this process.
static BUILDS: LazyLock<Stop> = LazyLock::new(Stop::default);

/// Ends the running builds, with cargo and its compilers, because the process is about to end.
pub(crate) fn stop_builds() {
    BUILDS.stop();
}

impl WatcherArgs {
    /// A component, or a package that is built for the default target.
    #[cfg(all(feature = "serve", unix))]
    pub(crate) fn of(watcher: PathBuf) -> Self {
        Self {
            watcher,
            target: Target::default(),
            package: None,
            features: Vec::new(),
            profile: "release".to_owned(),
            no_cache: false,
        }
    }

    /// Reads the component, or builds it while the user waits.
    pub(crate) fn component(&self) -> Result<Component> {
        let Some(spinner) = self.package_dir().and_then(|_| Spinner::new("building")) else {
            return self.component_telling(style::say_of_cargo);
        };
        let spinner = Mutex::new(spinner);
        self.component_telling(|line| match cargo_status(line) {
            Some(status) => spinner.lock().iter().for_each(|spinner| spinner.at(&status)),
            None => style::say_of_cargo(line),
        })
    }

    /// Reads the component, or builds it. Passes each line that cargo writes to `line`.
    pub(crate) fn component_telling(&self, line: impl FnMut(&str) + Send) -> Result<Component> {
        let Some(dir) = self.package_dir() else {
            let path = &self.watcher;
            let of_builds = [("--package", self.package.is_some()), ("--features", !self.features.is_empty())];
            if let Some((flag, _)) = of_builds.into_iter().find(|(_, is_set)| *is_set) {
                let path = path.display();
                return Err(
                    format!("{flag} is for a build, and {path} is a component: name the folder of a package").into()
                );
            }
            let bytes = fs::read(path).map_err(|source| kvwatch::Error::Read { path: path.clone(), source })?;
            return Ok(Component { name: path.display().to_string(), bytes, places: self.places() });
        };
        let colour = if screen::is_coloured() { Colour::Always } else { Colour::Never };
        let mut order = Build::new(dir).target(self.target).profile(&self.profile).features(&self.features);
        if let Some(package) = &self.package {
            order = order.package(package);
        }
        let built = order.colour(colour).stop(BUILDS.clone()).run_with(line)?;
        let here = env::current_dir().ok();
        let artifact = here.and_then(|here| built.artifact.strip_prefix(here).ok()).unwrap_or(&built.artifact);
        let name = artifact.display().to_string();
        // A new file in this folder can become part of the package.
        let folders = vec![built.manifest.with_file_name("src")];
        Ok(Component { name, bytes: built.component, places: Places { files: built.inputs, folders } })
    }

    /// The files that decide about the component before a build has reported which files it read.
    pub(crate) fn places(&self) -> Places {
        let mut files = vec![self.watcher.clone()];
        let folder = self.package_dir();
        if let Some(folder) = folder.as_ref().and_then(|folder| folder.canonicalize().ok()) {
            // One of these may be the manifest of the workspace.
            files.extend(folder.ancestors().skip(1).map(|folder| folder.join("Cargo.toml")));
        }
        Places { files, folders: folder.into_iter().collect() }
    }

    /// The folder of the package, if it is a package.
    pub(crate) fn package_dir(&self) -> Option<PathBuf> {
        let path = &self.watcher;
        if path.is_dir() {
            return Some(path.clone());
        }
        let is_manifest = path.file_name().is_some_and(|name| name == "Cargo.toml");
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        is_manifest.then(|| dir.to_owned())
    }
}

impl Component {
    pub(crate) fn load(&self, engine: &Engine) -> Result<Watcher> {
        let watcher = Watcher::from_bytes(engine, &self.name, &self.bytes)?;
        if let Some(error) = engine.cache().and_then(Cache::take_failure) {
            args::warn_of_cache(&error);
        }
        Ok(watcher)
    }
}

/// The step that cargo has reached, for example `Compiling sha2 v0.10.9`. `None` if the line does not report one. The verb of
/// such a line ends in the twelfth column.
pub(crate) fn cargo_status(line: &str) -> Option<String> {
    let line = anstream::adapter::strip_str(line).to_string();
    let (column, rest) = line.split_at_checked(12)?;
    let verb = column.trim_start();
    let is_verb = verb.starts_with(|c: char| c.is_ascii_uppercase()) && verb.chars().all(|c| c.is_ascii_alphabetic());
    (is_verb && rest.starts_with(' ')).then(|| escape::line(line.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_cargo_differ_from_its_diagnostics() {
        for line in ["   Compiling sha2 v0.10.9", "\u{1b}[1m\u{1b}[92m    Finished\u{1b}[0m `release` profile in 0.1s"]
        {
            assert!(cargo_status(line).is_some_and(|status| !status.starts_with(' ')), "{line}");
        }
        for line in
            ["", "error: no", "warning: unused variable: `key`", "   |         ^^^ help", "12 |     Some(text) => {}"]
        {
            assert_eq!(cargo_status(line), None);
        }
    }
}
