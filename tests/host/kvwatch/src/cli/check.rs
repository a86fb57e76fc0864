use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::Args;
use kvwatch::{Anatomy, ByteSize, Engine, Import, Module, Provider, Resource, Watcher};

use super::progress::Spinner;
use super::signals::Signals;
use super::stats::table;
use super::style::{self, STRONG};
use super::watcher::WatcherArgs;
use super::{Result, args, chain, escape, screen};

/// The start of the names of modules that `wit-component` adds.
const ADAPTER: &str = "wit-component:adapter:";

/// Check whether a watcher fits the world, and show its imports and its size
///
/// Imports beyond the world are listed with the target that causes them. A watcher for wasm32-wasip2 imports WASI 0.2 itself. A
/// watcher for wasm32-wasip1, the default of `cargo component build`, imports it through an adapter. A watcher for
/// wasm32-unknown-unknown imports only the world.
///
/// Some imports reach something only with a grant. The list shows the flag of `kvwatch run` for it. A watcher with an import that
/// kvwatch does not offer cannot be loaded, unless --stub replaces the import.
///
/// The imports and the sizes are also shown for a watcher that does not fit.
///
/// The exit code is 0 if the watcher fits, and 2 if it does not.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    watcher: WatcherArgs,
}

impl Check {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        // A signal during the build ends cargo too.
        let _signals = Signals::install()?;
        let component = self.watcher.component()?;
        let engine = Engine::builder().cache(args::cache(self.watcher.no_cache)).build()?;
        let imports = Watcher::imports_in(&engine, &component.name, &component.bytes)?;
        let anatomy = Anatomy::of(&component.bytes)
            .map_err(|error| format!("cannot read the parts of {}: {}", component.name, chain(&*error)))?;
        let loaded = {
            let _spinner = Spinner::new("compiling");
            component.load(&engine)
        };
        let mut page = String::new();
        let fits = if loaded.is_ok() { "fits" } else { "does not fit" };
        writeln!(page, "{} {fits} the world wasi:keyvalue/inbound-keyvalue", component.name)?;
        write_imports(&mut page, &imports, &anatomy)?;
        write_sizes(&mut page, &anatomy)?;
        show(&page)?;
        loaded.map(|_| ExitCode::SUCCESS)
    }
}

/// Writes the page. If a reader closes the pipe early, as `head -1` does, the exit code stays the same.
fn show(page: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let page = if stdout.is_terminal() { as_text(page) } else { page.to_owned() };
    match stdout.write_all(page.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A title. It is the only thing on the page that has a style.
fn title(text: &str) -> String {
    let coloured = screen::stdout_colours() != ColorChoice::Never;
    if coloured { style::styled(STRONG, text) } else { text.to_owned() }
}

/// The page with the control characters of names as text. The name of a component or a module can be any text, and a terminal
/// would obey control characters.
fn as_text(page: &str) -> String {
    let (start, end) = (STRONG.render().to_string(), STRONG.render_reset().to_string());
    let line = |line: &str| match line.strip_prefix(&*start).and_then(|line| line.split_once(&*end)) {
        Some((title, rest)) => format!("{start}{}{end}{}", escape::line(title), escape::line(rest)),
        None => escape::line(line),
    };
    page.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn write_imports(page: &mut String, imports: &[Import], anatomy: &Anatomy) -> Result<()> {
    list_imports(page, "It imports from the world", &of(imports, Provider::World))?;
    let store = of(imports, Provider::Store);
    if !store.is_empty() {
        list_imports(page, "It imports from the draft's outbound world, to act on the store", &store)?;
    }
    let unknown = of(imports, Provider::Unknown);
    if !unknown.is_empty() {
        list_imports(page, "It imports what kvwatch does not offer", &unknown)?;
    }
    let wasi = of(imports, Provider::Wasi);
    if wasi.is_empty() {
        return list(page, "It imports beyond the world", &[]);
    }
    // Some interfaces are imported for their types only. No module imports these, so they are listed with the others.
    let has_adapter = anatomy.modules.iter().any(Module::is_adapter);
    let by_adapter = |name: &str| has_adapter && anatomy.importers(name).all(Module::is_adapter);
    let (adapted, own): (Vec<_>, Vec<_>) = wasi.into_iter().partition(|import| by_adapter(&import.name));
    if !adapted.is_empty() {
        list_imports(page, "It imports beyond the world, by the adapter of wasm32-wasip1", &adapted)?;
    }
    if !own.is_empty() {
        list_imports(page, "It imports beyond the world, as built for wasm32-wasip2", &own)?;
    }
    let http = if cfg!(feature = "http") { "with outgoing requests of wasi:http" } else { "without wasi:http" };
    writeln!(page, "kvwatch offers WASI 0.2 {http}; other hosts of watchers may offer less")?;
    Ok(())
}

fn of(imports: &[Import], provider: Provider) -> Vec<&Import> {
    imports.iter().filter(|import| import.provider == provider).collect()
}

/// Lists imports, each with its need.
fn list_imports(page: &mut String, heading: &str, imports: &[&Import]) -> Result<()> {
    let width = imports.iter().map(|import| import.name.chars().count()).max().unwrap_or(0);
    let line = |import: &&Import| match need(import) {
        Some(need) => format!("{:width$}   {need}", import.name),
        None => import.name.clone(),
    };
    let lines: Vec<_> = imports.iter().map(line).collect();
    list(page, heading, &lines.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The grant or the flag that an import needs before a watcher can use it.
fn need(import: &Import) -> Option<String> {
    if import.provider == Provider::Unknown {
        return Some(format!("with --stub {}, only its calls trap", import.name));
    }
    Some(match import.resource()? {
        Resource::Environment => "no variables without --env NAME[=VALUE]".to_owned(),
        Resource::Folders => "no folders without --dir HOST::GUEST[:ro]".to_owned(),
        Resource::Hosts => "every request is denied without --allow-host NAME[:PORT]".to_owned(),
        Resource::Sockets => "every address is refused, and no flag changes this".to_owned(),
        _ => return None,
    })
}

fn list(page: &mut String, heading: &str, names: &[&str]) -> Result<()> {
    let nothing = if names.is_empty() { " nothing" } else { "" };
    writeln!(page, "\n{}:{nothing}", title(heading))?;
    for name in names {
        writeln!(page, "  {name}")?;
    }
    Ok(())
}

fn write_sizes(page: &mut String, anatomy: &Anatomy) -> Result<()> {
    let size = |bytes| if bytes == 0 { String::new() } else { ByteSize(bytes).to_string() };
    let row = |name: String, sizes: [u64; 5]| [vec![name], sizes.map(size).to_vec()].concat();
    let sizes = |modules: &[&Module]| {
        let sum = |of: fn(&Module) -> u64| modules.iter().map(|module| of(module)).sum::<u64>();
        [sum(|it| it.code), sum(|it| it.data), sum(|it| it.custom), sum(Module::rest), sum(|it| it.bytes)]
    };
    let mut rows = Vec::new();
    for (index, module) in anatomy.modules.iter().enumerate().filter(|(_, module)| other_adapter(module).is_none()) {
        rows.push(row(part(index, module), sizes(&[module])));
    }
    let adapters: Vec<_> = anatomy.modules.iter().filter(|module| other_adapter(module).is_some()).collect();
    if !adapters.is_empty() {
        rows.push(row(format!("other adapters: {}", adapters.len()), sizes(&adapters)));
    }
    let (custom, rest) = (anatomy.custom, anatomy.rest());
    rows.push(row("around them".to_owned(), [0, 0, custom, rest, custom + rest]));
    let [code, data, in_custom, in_rest, _] = sizes(&anatomy.modules.iter().collect::<Vec<_>>());
    rows.push(row("all".to_owned(), [code, data, in_custom + custom, in_rest + rest, anatomy.bytes]));
    let table = table(&["size", "code", "data", "custom", "rest", "all"], &rows);
    let (header, rows) = table.split_once('\n').unwrap_or((&table, ""));
    let header = anstream::adapter::strip_str(header).to_string();
    writeln!(page, "\n{}\n{rows}", title(&header))?;
    if !adapters.is_empty() {
        list(page, "The other adapters are", &adapters.into_iter().filter_map(other_adapter).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// The name of an adapter that is not the one of `wasm32-wasip1`. Python's tools add one for each library.
fn other_adapter(module: &Module) -> Option<&str> {
    module.name.as_deref()?.strip_prefix(ADAPTER).filter(|_| !module.is_adapter())
}

/// The role of a core module in the component.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_names_as_text_and_keeps_titles() {
        let title = style::styled(STRONG, "It imports");
        let page = format!("{title}: nothing\n  \u{1b}[2Jgone\u{7}\n");
        assert_eq!(as_text(&page), format!("{title}: nothing\n  \\u{{1b}}[2Jgone\\u{{7}}\n"));
    }
}
