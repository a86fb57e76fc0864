use std::process::ExitCode;

use clap::Args;
use kvwatch::{Anatomy, ByteSize, Engine, Module, Provider, Watcher};

use super::stats::table;
use super::style::{self, STRONG};
use super::watcher::WatcherArgs;
use super::{Result, chain};

/// Tell whether a watcher fits the world, what it imports beyond it, and how large it is
///
/// Imports beyond the world are told with the target that they come from: a watcher for wasm32-wasip2 imports WASI 0.2 itself,
/// and one for wasm32-wasip1, which is what `cargo component build` builds for, by an adapter. One for wasm32-unknown-unknown
/// imports the world and nothing else.
///
/// Exits with 0 where it fits, and with 2 where it does not.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    watcher: WatcherArgs,
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let component = self.watcher.component()?;
        let watcher = component.load(&Engine::new()?)?;
        let anatomy = Anatomy::of(&component.bytes)
            .map_err(|error| format!("{} cannot be taken apart: {}", watcher.name(), chain(&*error)))?;
        style::print(&format!("{} fits the world wasi:keyvalue/inbound-keyvalue", watcher.name()))?;
        imports(&watcher, &anatomy)?;
        sizes(&anatomy)
    }
}

fn imports(watcher: &Watcher, anatomy: &Anatomy) -> Result<()> {
    list("It imports of the world", &names(watcher, Provider::World))?;
    let wasi = names(watcher, Provider::Wasi);
    let by_adapter = |name: &&String| anatomy.importers(name).any(Module::is_adapter);
    let (adapted, own): (Vec<_>, Vec<_>) = wasi.iter().partition(by_adapter);
    let title = "It imports beyond the world, which kvwatch has and other hosts may not";
    if wasi.is_empty() {
        return list(title, &[]);
    }
    if !adapted.is_empty() {
        list(&format!("{title}, by the adapter of wasm32-wasip1"), &adapted)?;
    }
    if !own.is_empty() {
        list(&format!("{title}, as built for wasm32-wasip2"), &own)?;
    }
    Ok(())
}

fn names(watcher: &Watcher, provider: Provider) -> Vec<&String> {
    watcher.imports().iter().filter(|import| import.provider == provider).map(|import| &import.name).collect()
}

fn list(title: &str, names: &[&String]) -> Result<()> {
    if names.is_empty() {
        style::print(&format!("\n{}: nothing", style::styled(STRONG, title)))?;
        return Ok(());
    }
    style::print(&format!("\n{}:", style::styled(STRONG, title)))?;
    for name in names {
        style::print(&format!("  {name}"))?;
    }
    Ok(())
}
