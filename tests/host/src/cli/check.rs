use std::process::ExitCode;

use clap::Args;
use kvwatch::{Engine, Provider, Watcher};

use super::watcher::WatcherArgs;
use super::{Result, style};

/// Tell whether a watcher fits the world, and what it imports beyond it
///
/// Exits with 0 where it fits, and with 2 where it does not.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    watcher: WatcherArgs,
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let watcher = self.watcher.load(&Engine::new()?)?;
        style::print(&format!("{} fits the world wasi:keyvalue/inbound-keyvalue", watcher.name()))?;
        list("It imports of the world", &watcher, Provider::World)?;
        list("It imports beyond the world, which kvwatch has and other hosts may not", &watcher, Provider::Wasi)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(title: &str, watcher: &Watcher, provider: Provider) -> Result<()> {
    let mut imports = watcher.imports().iter().filter(|import| import.provider == provider).peekable();
    if imports.peek().is_none() {
        style::print(&format!("{title}: nothing"))?;
        return Ok(());
    }
    style::print(&format!("{title}:"))?;
    for import in imports {
        style::print(&format!("  {}", import.name))?;
    }
    Ok(())
}
