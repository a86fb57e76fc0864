use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::Component;

use super::linking::{HANDLE_WATCH, HandleWatchPre};
use super::runtime::Engine;
use super::session::SessionBuilder;
use crate::error::Error;

/// The world's own imports.
const WORLD: [&str; 2] = ["wasi:keyvalue/types", "wasi:keyvalue/wasi-io"];

/// The packages of WASI 0.2 that a guest's standard library uses.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// A component that watches, compiled and known to fit the world. Cheap to clone.
#[derive(Clone)]
pub struct Watcher {
    engine: Engine,
    pre: HandleWatchPre,
    name: Arc<str>,
    imports: Arc<[Import]>,
}

/// An interface that a watcher imports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Import {
    /// Its name, as `wasi:cli/stdout@0.2.6`.
    pub name: String,
    /// Who has it.
    pub provider: Provider,
}

/// Where an import comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// The world `inbound-keyvalue`: every host of watchers has it.
    World,
    /// WASI 0.2: `kvwatch` has it, and a host of watchers may not.
    Wasi,
}

impl Watcher {
    /// Compiles the component in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no component, or does not fit the world.
    pub fn load(engine: &Engine, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_bytes(engine, &path.display().to_string(), &bytes)
    }

    /// Compiles a component. `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// When it is no component, or does not fit the world.
    pub fn from_bytes(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let watcher = || name.to_owned();
        match Binary::of(bytes) {
            Some(Binary::Component) => {}
            Some(Binary::Module) => return Err(Error::CoreModule { watcher: watcher() }),
            None => return Err(Error::NotWasm { watcher: watcher() }),
        }
        let component = Component::from_binary(engine.wasm(), bytes)
            .map_err(|error| Error::Invalid { watcher: watcher(), source: error.into() })?;
        let imports = Self::imports_of(&component, engine)
            .map_err(|imports| Error::UnknownImports { watcher: watcher(), imports })?;
        let exports = component.component_type();
        let mut exports = exports.exports(engine.wasm()).map(|(name, _)| name);
        if !exports.any(|name| name == HANDLE_WATCH) {
            let component = component.component_type();
            let exports = component.exports(engine.wasm()).map(|(name, _)| name.to_owned()).collect();
            return Err(Error::NoExport { watcher: watcher(), exports });
        }
        let pre = HandleWatchPre::new(engine.linker(), &component)
            .map_err(|error| Error::Mismatch { watcher: watcher(), source: error.into() })?;
        Ok(Self { engine: engine.clone(), pre, name: name.into(), imports: imports.into() })
    }

    /// The imports, or the names of those that there is nothing for.
    fn imports_of(component: &Component, engine: &Engine) -> Result<Vec<Import>, Vec<String>> {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for (name, _) in component.component_type().imports(engine.wasm()) {
            match Provider::of(name) {
                Some(provider) => known.push(Import { name: name.to_owned(), provider }),
                None => unknown.push(name.to_owned()),
            }
        }
        if unknown.is_empty() { Ok(known) } else { Err(unknown) }
    }

    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it imports.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// What it runs on.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A session to be made, in which this watcher is given events.
    pub fn session(&self) -> SessionBuilder {
        SessionBuilder::new(self.clone())
    }

    pub(crate) fn pre(&self) -> &HandleWatchPre {
        &self.pre
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("name", &self.name).field("imports", &self.imports).finish_non_exhaustive()
    }
}

impl Provider {
    fn of(import: &str) -> Option<Self> {
        if WORLD.contains(&import) {
            return Some(Self::World);
        }
        let wasi = WASI.iter().any(|package| import.starts_with(package)) && import.contains("@0.2.");
        wasi.then_some(Self::Wasi)
    }
}

/// What the first bytes of WebAssembly say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Module,
    Component,
}

impl Binary {
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        // The version of the two is followed by which of them it is.
        match bytes.strip_prefix(b"\0asm")?.get(2..4)? {
            [0, 0] => Some(Self::Module),
            [1, 0] => Some(Self::Component),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_binaries_apart() {
        assert_eq!(Binary::of(b"\0asm\x01\0\0\0"), Some(Binary::Module));
        assert_eq!(Binary::of(b"\0asm\x0d\0\x01\0"), Some(Binary::Component));
        assert_eq!(Binary::of(b"\0asm"), None);
        assert_eq!(Binary::of(b"(component)"), None);
        assert_eq!(Binary::of(b""), None);
    }

    #[test]
    fn knows_where_imports_come_from() {
        assert_eq!(Provider::of("wasi:keyvalue/types"), Some(Provider::World));
        assert_eq!(Provider::of("wasi:cli/stdout@0.2.6"), Some(Provider::Wasi));
        assert_eq!(Provider::of("wasi:cli/stdout@0.3.0"), None);
        assert_eq!(Provider::of("wasi:keyvalue/types@0.2.0"), None);
        assert_eq!(Provider::of("wasi:http/types@0.2.0"), None);
    }
}
