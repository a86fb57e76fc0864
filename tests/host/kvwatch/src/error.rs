use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

/// Why a watcher cannot be loaded, or an engine cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine cannot be set up with these settings.
    #[error("the WebAssembly engine cannot be set up")]
    Engine(#[source] Cause),
    /// The component's file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The bytes are a core module and not a component.
    #[error(
        "{watcher} is a core module, not a component: build it with `cargo component build` or for the target \
         wasm32-wasip2, or give `kvwatch` the folder of its package"
    )]
    CoreModule {
        /// The watcher's name in messages.
        watcher: String,
    },
    /// The bytes are not WebAssembly.
    #[error("{watcher} is not WebAssembly: give the `.wasm` file of a component, or the folder of its package")]
    NotWasm {
        /// The watcher's name in messages.
        watcher: String,
    },
    /// The bytes begin like a component, but the component is not valid.
    #[error(
        "{watcher} is not a valid component: it may be damaged, or made for another component model; build it again"
    )]
    Invalid {
        /// The watcher's name in messages.
        watcher: String,
        /// The cause.
        source: Cause,
    },
    /// The component exceeds a limit for what kvwatch compiles.
    #[error("{watcher} is too large: {reason}; build a smaller component")]
    TooLarge {
        /// The watcher's name in messages.
        watcher: String,
        /// The limit that the component exceeds.
        reason: String,
    },
    /// The component does not export `handle-watch`.
    #[error(
        "{watcher} has no `wasi:keyvalue/handle-watch` export: put `#[handle_watch]` on the watcher ({})",
        list("it exports", exports)
    )]
    NoExport {
        /// The watcher's name in messages.
        watcher: String,
        /// The names that the component exports.
        exports: Vec<String>,
    },
    /// The component imports an interface that kvwatch does not offer.
    #[error(
        "{watcher} cannot run here: {}; a watcher has the interfaces of the draft, and {WASI_OFFERED}; build it without the \
         rest, or replace an interface by traps with `--stub INTERFACE`",
        list("it imports", imports)
    )]
    UnknownImports {
        /// The watcher's name in messages.
        watcher: String,
        /// The imports that kvwatch does not offer.
        imports: Vec<String>,
    },
    /// The names of the imports and exports are right, but a type is not the one of the world.
    #[error("{watcher} does not fit the world: build it with bindings of the same WIT as this host's")]
    Mismatch {
        /// The watcher's name in messages.
        watcher: String,
        /// The difference.
        source: Cause,
    },
}

/// The part of WASI that kvwatch offers.
const WASI_OFFERED: &str =
    if cfg!(feature = "http") { "WASI 0.2 with outgoing requests of wasi:http" } else { "WASI 0.2 without wasi:http" };

type Cause = Box<dyn StdError + Send + Sync>;

/// A message lists at most this many names. A file can have a hundred thousand.
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
