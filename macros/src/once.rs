use std::env;
use std::sync::OnceLock;

use proc_macro2::Span;
use syn::{Error, Result};

use crate::item::Item;

/// The programs of which a process compiles one crate, once. An editor's macro server lives through many crates and every
/// edit of them: to it, all would be registered already. On wasm a second export does not link, so nothing is lost.
const COMPILERS: [&str; 3] = ["rustc", "rustdoc", "clippy-driver"];

#[derive(Clone, PartialEq)]
struct Registration {
    name: String,
    /// Where the attribute stands. Nothing says that the compiler expands it once only.
    place: String,
}

/// Fails for the second watcher of a crate.
pub(crate) fn check(item: &Item) -> Result<()> {
    static FIRST: OnceLock<Registration> = OnceLock::new();

    // Of two watchers that are there on a condition, all but one may be gone later.
    if !compiling() || !item.cfgs.is_empty() {
        return Ok(());
    }
    let this = Registration { name: item.name.to_string(), place: format!("{:?}", Span::call_site()) };
    let first = FIRST.get_or_init(|| this.clone());
    if *first == this {
        return Ok(());
    }
    let message = format!(
        "one component has one watcher, and `{}` is registered already: tell the keys apart in its handlers, or give `{}` \
         a cargo package of its own",
        first.name, this.name
    );
    Err(Error::new(item.name.span(), message))
}

fn compiling() -> bool {
    let program = env::current_exe().unwrap_or_default();
    COMPILERS.iter().any(|compiler| program.file_stem().is_some_and(|stem| stem == *compiler))
}
