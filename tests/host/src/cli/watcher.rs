use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use kvwatch::build::{self, Target};
use kvwatch::{Engine, Watcher};

use super::Result;

/// The watcher that a subcommand is about.
#[derive(Args, Debug)]
pub(crate) struct WatcherArgs {
    /// A component, or the folder of a cargo package that is built first
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

impl WatcherArgs {
    pub(crate) fn load(&self, engine: &Engine) -> Result<Watcher> {
        if !self.watcher.is_dir() {
            return Ok(Watcher::load(engine, &self.watcher)?);
        }
        let built = build::package(&self.watcher, self.target)?;
        Ok(Watcher::from_bytes(engine, &built.artifact.display().to_string(), &built.component)?)
    }
}
