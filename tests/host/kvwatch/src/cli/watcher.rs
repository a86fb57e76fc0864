use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueHint};
use kvwatch::build::{self, Colour, Target};
use kvwatch::{Engine, Watcher};

use super::progress::Spinner;
use super::{Result, screen, style};

/// The watcher that a subcommand is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatcherArgs {
    /// A component, or the folder of a cargo package that is built first
    #[arg(value_hint = ValueHint::AnyPath)]
    watcher: PathBuf,

    /// What a package is built for
    #[arg(
        long,
        value_name = "TARGET",
        default_value_t,
        value_parser = PossibleValuesParser::new(Target::ALL.map(Target::as_str)).try_map(|name| name.parse::<Target>()),
    )]
    target: Target,
}

/// A component, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl WatcherArgs {
    /// A component, or a package that is built for the default target.
    #[cfg(all(feature = "serve", unix))]
    pub(crate) fn of(watcher: PathBuf) -> Self {
        Self { watcher, target: Target::default() }
    }

    /// Reads it, or builds it while somebody waits for it.
    pub(crate) fn component(&self) -> Result<Component> {
        let Some(spinner) = self.watcher.is_dir().then(|| Spinner::new("building")).flatten() else {
            return self.component_telling(style::say);
        };
        let spinner = Mutex::new(spinner);
        self.component_telling(|line| match cargo_status(line) {
            Some(status) => spinner.lock().iter().for_each(|spinner| spinner.at(&status)),
            None => style::say(line),
        })
    }

    /// Reads it, or builds it, with each line that cargo has to say.
    pub(crate) fn component_telling(&self, line: impl FnMut(&str) + Send) -> Result<Component> {
        if !self.watcher.is_dir() {
            let path = &self.watcher;
            let bytes = fs::read(path).map_err(|source| kvwatch::Error::Read { path: path.clone(), source })?;
            return Ok(Component { name: path.display().to_string(), bytes });
        }
        let colour = if screen::is_coloured() { Colour::Always } else { Colour::Never };
        let built = build::package_with(&self.watcher, self.target, colour, line)?;
        let here = env::current_dir().ok();
        let artifact = here.and_then(|here| built.artifact.strip_prefix(here).ok()).unwrap_or(&built.artifact);
        Ok(Component { name: artifact.display().to_string(), bytes: built.component })
    }

    /// The file of the component, or the folder of the package.
    pub(crate) fn path(&self) -> &Path {
        &self.watcher
    }
}

impl Component {
    pub(crate) fn load(&self, engine: &Engine) -> Result<Watcher> {
        Ok(Watcher::from_bytes(engine, &self.name, &self.bytes)?)
    }
}

/// What cargo is at, as `Compiling sha2 v0.10.9`, if that is what a line says: a verb that ends in the twelfth column.
pub(crate) fn cargo_status(line: &str) -> Option<String> {
    let line = anstream::adapter::strip_str(line).to_string();
    let (column, rest) = line.split_at_checked(12)?;
    let verb = column.trim_start();
    let is_verb = verb.starts_with(|c: char| c.is_ascii_uppercase()) && verb.chars().all(|c| c.is_ascii_alphabetic());
    (is_verb && rest.starts_with(' ')).then(|| line.trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_cargo_is_at_from_what_is_wrong() {
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
