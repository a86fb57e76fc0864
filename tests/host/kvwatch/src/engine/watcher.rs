use std::fmt;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;
use wasmtime::component::Component;

use super::grants::{Provider, Resource, may_wait};
use super::linking::{self, HANDLE_WATCH, HandleWatchPre};
use super::preflight::{Preflight, Refused};
use super::runtime::{Engine, Machine};
use super::session::SessionBuilder;
use super::waiting;
use crate::error::Error;

/// A watcher: a compiled component that fits the world. A clone is cheap.
#[derive(Clone)]
pub struct Watcher {
    engine: Engine,
    wasm: wasmtime::Engine,
    pre: HandleWatchPre,
    name: Arc<str>,
    imports: Arc<[Import]>,
    runtime: Option<&'static Handle>,
}

/// An interface that a watcher imports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Import {
    /// The name, for example `wasi:cli/stdout@0.2.6`.
    pub name: String,
    /// Its provider.
    pub provider: Provider,
}

impl Watcher {
    /// Compiles the component in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not a component, or does not fit the world.
    pub fn load(engine: &Engine, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_bytes(engine, &path.display().to_string(), &bytes)
    }

    /// Compiles a component. Messages call it `name`.
    ///
    /// # Errors
    ///
    /// When the bytes are not a component, or do not fit the world.
    pub fn from_bytes(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Self, Error> {
        let watcher = || name.to_owned();
        let preflight = preflight(name, bytes)?;
        let imports = Self::imports_of(&preflight, engine)
            .map_err(|imports| Error::UnknownImports { watcher: watcher(), imports })?;
        if !preflight.exports.iter().any(|name| name == HANDLE_WATCH) {
            return Err(Error::NoExport { watcher: watcher(), exports: preflight.exports });
        }
        // A bug in the compiler must end the load, and not the program.
        let compiled = panic::catch_unwind(AssertUnwindSafe(|| compile(engine, &preflight, bytes)))
            .map_err(|_| Error::Invalid { watcher: watcher(), source: "the compiler has panicked".into() })?;
        let (machine, component) =
            compiled.map_err(|error| Error::Invalid { watcher: watcher(), source: error.into() })?;
        let mismatch = |error: wasmtime::Error| Error::Mismatch { watcher: watcher(), source: error.into() };
        let waits = imports.iter().any(|import| may_wait(&import.name, import.provider));
        let runtime = waits.then(waiting::runtime).transpose().map_err(|error| Error::Engine(error.into()))?;
        let mut linker = if waits { machine.waiting.clone() } else { machine.direct.clone() };
        for import in imports.iter().filter(|import| import.provider == Provider::Stub) {
            linking::stub(&mut linker, &component, &import.name).map_err(mismatch)?;
        }
        let pre = HandleWatchPre::new(&linker, &component).map_err(mismatch)?;
        let wasm = machine.wasm.clone();
        Ok(Self { engine: engine.clone(), wasm, pre, name: name.into(), imports: imports.into(), runtime })
    }

    /// The imports of a component, and their providers. The component is not compiled, and does not have to fit the world.
    ///
    /// # Errors
    ///
    /// When the bytes are not a component, are damaged, or are too large. Messages call the component `name`.
    pub fn imports_in(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Vec<Import>, Error> {
        let preflight = preflight(name, bytes)?;
        Ok(preflight.imports.into_iter().map(|name| Import::of(name, engine)).collect())
    }

    /// The imports, or the names of the imports that nobody provides.
    fn imports_of(preflight: &Preflight, engine: &Engine) -> Result<Vec<Import>, Vec<String>> {
        let imports: Vec<_> = preflight.imports.iter().map(|name| Import::of(name.clone(), engine)).collect();
        let unknown = |import: &&Import| import.provider == Provider::Unknown;
        let unknown: Vec<_> = imports.iter().filter(unknown).map(|import| import.name.clone()).collect();
        if unknown.is_empty() { Ok(imports) } else { Err(unknown) }
    }

    /// The name in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The imports of the component.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The [stubs](crate::Grants::stub) that replace no import of the component. Their names may be wrong.
    ///
    /// ```
    /// use kvwatch::Watcher;
    ///
    /// fn warn(watcher: &Watcher) {
    ///     for stub in watcher.unused_stubs() {
    ///         eprintln!("{} has no import {stub}", watcher.name());
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn unused_stubs(&self) -> Vec<&str> {
        let replaced = self.imports.iter().filter(|import| import.provider == Provider::Stub);
        let replaced: Vec<_> = replaced.map(|import| &*import.name).collect();
        self.engine.grants().unused_stubs(&replaced)
    }

    /// The engine that runs it.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Begins a session, which delivers events to this watcher.
    pub fn session(&self) -> SessionBuilder {
        SessionBuilder::new(self.clone())
    }

    /// The wasmtime engine that compiled the component.
    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// The runtime on which it waits, if it may wait.
    pub(crate) fn runtime(&self) -> Option<&'static Handle> {
        self.runtime
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

/// Reads a component. Refuses bytes that are not a component, are damaged or are too large.
fn preflight(name: &str, bytes: &[u8]) -> Result<Preflight, Error> {
    let watcher = || name.to_owned();
    match Binary::of(bytes) {
        Some(Binary::Component) => {}
        Some(Binary::Module) => return Err(Error::CoreModule { watcher: watcher() }),
        None => return Err(Error::NotWasm { watcher: watcher() }),
    }
    Preflight::of(bytes).map_err(|refused| match refused {
        Refused::Damaged(error) => Error::Invalid { watcher: watcher(), source: error.into() },
        Refused::TooLarge(reason) => Error::TooLarge { watcher: watcher(), reason },
    })
}

impl Import {
    /// The resource that this import reaches only with a grant. `None` if no grant concerns it.
    ///
    /// ```
    /// use kvwatch::{Engine, Resource, Watcher};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let component = b"\0asm\x0d\0\x01\0";
    /// let imports = Watcher::imports_in(&Engine::new()?, "w.wasm", component)?;
    /// let wants_folders = imports.iter().any(|import| import.resource() == Some(Resource::Folders));
    /// # assert!(!wants_folders);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn resource(&self) -> Option<Resource> {
        if self.provider == Provider::Wasi { Resource::of(&self.name) } else { None }
    }

    fn of(name: String, engine: &Engine) -> Self {
        Self { provider: engine.grants().provider(&name), name }
    }
}

/// Compiles a component for the pool if it fits there.
fn compile<'a>(engine: &'a Engine, preflight: &Preflight, bytes: &[u8]) -> wasmtime::Result<(&'a Machine, Component)> {
    let compiled = |machine: &'a Machine| {
        let component = match engine.cache() {
            Some(cache) => cache.component(&machine.wasm, bytes),
            None => Component::from_binary(&machine.wasm, bytes),
        };
        component.map(|component| (machine, component))
    };
    let (machine, on_demand) = (engine.machine_for(preflight), engine.on_demand());
    compiled(machine).or_else(|error| {
        if wasmtime::Engine::same(&machine.wasm, &on_demand.wasm) { Err(error) } else { compiled(on_demand) }
    })
}

/// The kind of WebAssembly that the first bytes name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Module,
    Component,
}

impl Binary {
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        // Both have a version, and the next two bytes tell them apart.
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
}
