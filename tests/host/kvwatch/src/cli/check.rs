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
    // Some are imported for their types only, which no module does: they go with the others.
    let has_adapter = anatomy.modules.iter().any(Module::is_adapter);
    let by_adapter = |name: &str| has_adapter && anatomy.importers(name).all(Module::is_adapter);
    let (adapted, own): (Vec<_>, Vec<_>) = wasi.iter().copied().partition(|name| by_adapter(name));
    if wasi.is_empty() {
        return list("It imports beyond the world", &[]);
    }
    if !adapted.is_empty() {
        list("It imports beyond the world, by the adapter of wasm32-wasip1", &adapted)?;
    }
    if !own.is_empty() {
        list("It imports beyond the world, as built for wasm32-wasip2", &own)?;
    }
    style::print("kvwatch has all of WASI 0.2; other hosts of watchers may not")?;
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

fn sizes(anatomy: &Anatomy) -> Result<ExitCode> {
    let size = |bytes| if bytes == 0 { String::new() } else { ByteSize(bytes).to_string() };
    let row = |name: String, sizes: [u64; 5]| [vec![name], sizes.map(size).to_vec()].concat();
    let mut rows = Vec::new();
    for (index, module) in anatomy.modules.iter().enumerate() {
        rows.push(row(part(index, module), [module.code, module.data, module.custom, module.rest(), module.bytes]));
    }
    let outside = anatomy.custom + anatomy.rest();
    rows.push(row("around them".to_owned(), [0, 0, anatomy.custom, anatomy.rest(), outside]));
    let sum = |of: fn(&Module) -> u64| anatomy.modules.iter().map(of).sum::<u64>();
    let (custom, rest) = (sum(|module| module.custom) + anatomy.custom, sum(Module::rest) + anatomy.rest());
    rows.push(row(
        "all".to_owned(),
        [sum(|module| module.code), sum(|module| module.data), custom, rest, anatomy.bytes],
    ));
    style::print(&format!("\n{}", table(&["size", "code", "data", "custom", "rest", "all"], &rows)))?;
    Ok(ExitCode::SUCCESS)
}

/// What a core module is in the component.
fn part(index: usize, module: &Module) -> String {
    match module.name.as_deref() {
        Some("main") => "main, the watcher".to_owned(),
        Some(_) if module.is_adapter() => "wasip1 adapter".to_owned(),
        Some(name) => {
            name.strip_prefix("wit-component").map_or(name, |part| part.trim_start_matches([':', '-'])).to_owned()
        }
        None => format!("module {index}"),
    }
}
