use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

/// Why there is no watcher, or no engine to run it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine cannot be set up as it was asked for.
    #[error("the WebAssembly engine cannot be set up")]
    Engine(#[source] Cause),
    /// The component's file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is a core module.
    #[error(
        "{watcher} is a core module, not a component: build it with `cargo component build` or for the target \
         wasm32-wasip2, or give `kvwatch` the folder of its package"
    )]
    CoreModule {
        /// What it was loaded from.
        watcher: String,
    },
    /// It is no WebAssembly at all.
    #[error("{watcher} is not WebAssembly: give the `.wasm` file of a component, or the folder of its package")]
    NotWasm {
        /// What it was loaded from.
        watcher: String,
    },
    /// It looks like a component and is not a valid one.
    #[error(
        "{watcher} is not a valid component: it may be damaged, or made for another component model; build it again"
    )]
    Invalid {
        /// What it was loaded from.
        watcher: String,
        /// What is wrong with it.
        source: Cause,
    },
    /// It asks for more than kvwatch compiles for a watcher.
    #[error("{watcher} is too large: {reason}; build a smaller component")]
    TooLarge {
        /// What it was loaded from.
        watcher: String,
        /// What there is too much of.
        reason: String,
    },
    /// It does not export `handle-watch`.
    #[error(
        "{watcher} has no `wasi:keyvalue/handle-watch` export: put `#[handle_watch]` on the watcher ({})",
        list("it exports", exports)
    )]
    NoExport {
        /// What it was loaded from.
        watcher: String,
        /// What it does export.
        exports: Vec<String>,
    },
    /// It imports what no host of this world has.
    #[error(
        "{watcher} cannot run here: {}; a watcher has the interfaces of the draft, and {WASI_OFFERED}; build it without the \
         rest, or replace an interface by traps with `--stub INTERFACE`",
        list("it imports", imports)
    )]
    UnknownImports {
        /// What it was loaded from.
        watcher: String,
        /// The imports that there is nothing for.
        imports: Vec<String>,
    },
    /// It has the right imports and exports, of another type.
    #[error("{watcher} does not fit the world: build it with bindings of the same WIT as this host's")]
    Mismatch {
        /// What it was loaded from.
        watcher: String,
        /// What does not fit.
        source: Cause,
    },
}

/// What kvwatch offers of WASI.
const WASI_OFFERED: &str =
    if cfg!(feature = "http") { "WASI 0.2 with outgoing requests of wasi:http" } else { "WASI 0.2 without wasi:http" };

type Cause = Box<dyn StdError + Send + Sync>;

/// How many names a message lists: a file can have a hundred thousand.
const MOST: usize = 10;

fn list(verb: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("{verb} nothing");
    }
    let shown: Vec<String> = names.iter().take(MOST).map(|name| format!("`{}`", name.escape_debug())).collect();
    let more = names.len().saturating_sub(MOST);
    let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{verb} {}{rest}", shown.join(", "))
}
