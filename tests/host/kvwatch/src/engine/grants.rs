//! Decides which imports a watcher may have, and its grants beyond the world. No other module decides about these.

use std::io;
use std::path::{Path, PathBuf};

use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::interface::{are_compatible, track, without_version};
use super::outbound::OUTBOUND;

/// The world's own imports.
const WORLD: [&str; 2] = ["wasi:keyvalue/types", "wasi:keyvalue/wasi-io"];

/// The packages of WASI 0.2 that a guest's standard library uses.
const WASI: [&str; 6] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/"];

/// The interfaces of WASI 0.2 that send HTTP requests. The interface for requests that come in is not among them.
const HTTP: [&str; 2] = ["wasi:http/outgoing-handler", "wasi:http/types"];

/// The interfaces of WASI that never wait: without files, clocks and streams.
const NEVER_WAITS: [&str; 5] =
    ["wasi:random/", "wasi:cli/environment", "wasi:cli/exit", "wasi:cli/terminal-", "wasi:clocks/wall-clock"];

/// The provider of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// The world `inbound-keyvalue`: every host of watchers has it.
    World,
    /// The draft's interfaces that act on the store: `kvwatch` has them, and another host of watchers may not.
    Store,
    /// WASI 0.2: `kvwatch` has it, and another host of watchers may not. With the cargo feature `http`, the requests of `wasi:http` are
    /// part of it.
    Wasi,
    /// A [stub](Grants::stub): every call of it traps.
    Stub,
    /// Nobody. A watcher with such an import cannot be loaded.
    Unknown,
}

/// Something outside the watcher that an import of WASI reaches only with a [grant](Grants).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resource {
    /// Environment variables: [`Grants::env`]. Without a grant, there are none.
    Environment,
    /// Folders: [`Grants::dir`]. Without a grant, there are none.
    Folders,
    /// Hosts on the network, over HTTP: [`Grants::allow_host`]. Without a grant, every request is denied.
    Hosts,
    /// Sockets. There is no grant for them: every address is refused.
    Sockets,
}

impl Resource {
    /// The resource that an import of WASI reaches, if a grant decides about it.
    pub(crate) fn of(import: &str) -> Option<Self> {
        let by_name = [
            ("wasi:cli/environment@", Self::Environment),
            ("wasi:filesystem/", Self::Folders),
            ("wasi:http/outgoing-handler@", Self::Hosts),
            ("wasi:sockets/", Self::Sockets),
        ];
        by_name.into_iter().find(|(name, _)| import.starts_with(name)).map(|(_, resource)| resource)
    }
}

/// The grants of watchers beyond the world. The default grants nothing.
///
/// ```
/// use kvwatch::{Engine, Grants};
///
/// let grants = Grants::new().env("LOG", "debug").stub("wasi:blobstore/types");
/// let engine = Engine::builder().grants(grants).build()?;
/// # Ok::<(), kvwatch::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    env: Vec<(String, String)>,
    dirs: Vec<Dir>,
    stubs: Vec<String>,
    #[cfg(feature = "http")]
    hosts: Vec<super::http::AllowedHost>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Dir {
    host: PathBuf,
    guest: String,
    read_only: bool,
}

impl Grants {
    /// Nothing is granted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an environment variable of the watcher.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Lets the watcher read and write the folder `host`, under the path `guest`. [`EngineBuilder::build`](crate::EngineBuilder::build)
    /// fails if there is no such folder.
    #[must_use]
    pub fn dir(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.dirs.push(Dir { host: host.into(), guest: guest.into(), read_only: false });
        self
    }

    /// Lets the watcher read the folder `host`, under the path `guest`.
    #[must_use]
    pub fn read_only_dir(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        self.dirs.push(Dir { host: host.into(), guest: guest.into(), read_only: true });
        self
    }

    /// Lets the watcher send HTTP requests to this host. Needs the cargo feature `http`.
    ///
    /// ```
    /// use kvwatch::Grants;
    ///
    /// let grants = Grants::new().allow_host("hooks.example.org:443".parse()?);
    /// # Ok::<(), kvwatch::AllowedHostError>(())
    /// ```
    #[cfg(feature = "http")]
    #[must_use]
    pub fn allow_host(mut self, host: super::http::AllowedHost) -> Self {
        self.hosts.push(host);
        self
    }

    #[cfg(feature = "http")]
    pub(crate) fn allowed_hosts(&self) -> &[super::http::AllowedHost] {
        &self.hosts
    }

    /// Replaces an interface that nobody offers: a watcher that imports it can be loaded, and traps when it calls it. The trap
    /// names the function. Without a version, the name stands for all versions.
    #[must_use]
    pub fn stub(mut self, interface: impl Into<String>) -> Self {
        self.stubs.push(interface.into());
        self
    }

    /// The provider of an import.
    pub(crate) fn provider(&self, import: &str) -> Provider {
        if WORLD.contains(&import) {
            return Provider::World;
        }
        if OUTBOUND.contains(&import) {
            return Provider::Store;
        }
        if cfg!(feature = "http") && HTTP.contains(&without_version(import)) && track(import) == Some("0.2") {
            return Provider::Wasi;
        }
        if WASI.iter().any(|package| import.starts_with(package)) && track(import) == Some("0.2") {
            return Provider::Wasi;
        }
        if self.stubs.iter().any(|stub| replaces(stub, import)) { Provider::Stub } else { Provider::Unknown }
    }

    /// The stubs that replace none of these imports, whose provider is a stub.
    pub(crate) fn unused_stubs(&self, replaced: &[&str]) -> Vec<&str> {
        let is_used = |stub: &&str| replaced.iter().any(|import| replaces(stub, import));
        self.stubs.iter().map(String::as_str).filter(|stub| !is_used(stub)).collect()
    }

    /// Finds the first folder that cannot be opened.
    pub(crate) fn check(&self) -> Result<(), (&Path, io::Error)> {
        for dir in &self.dirs {
            std::fs::read_dir(&dir.host).map_err(|error| (&*dir.host, error))?;
        }
        Ok(())
    }

    /// Grants them to an instance.
    pub(crate) fn apply(&self, wasi: &mut WasiCtxBuilder) -> wasmtime::Result<()> {
        wasi.envs(&self.env);
        for Dir { host, guest, read_only } in &self.dirs {
            let perms = if *read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(host, guest, perms)?;
        }
        Ok(())
    }
}

/// Whether a stub replaces an import that nobody else provides.
fn replaces(stub: &str, import: &str) -> bool {
    stub == import || stub == without_version(import) || are_compatible(stub, import)
}

/// Whether a call of this import may wait for something.
pub(crate) fn may_wait(import: &str, provider: Provider) -> bool {
    provider == Provider::Store
        || provider == Provider::Wasi && !NEVER_WAITS.iter().any(|name| import.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_where_imports_come_from() {
        let grants = Grants::new().stub("wasi:blobstore/types").stub("a:b/c@0.1.0");
        let http = if cfg!(feature = "http") { Provider::Wasi } else { Provider::Unknown };
        for (import, provider) in [
            ("wasi:keyvalue/types", Provider::World),
            ("wasi:keyvalue/readwrite", Provider::Store),
            ("wasi:cli/stdout@0.2.6", Provider::Wasi),
            ("wasi:cli/stdout@0.3.0", Provider::Unknown),
            ("wasi:keyvalue/types@0.2.0", Provider::Unknown),
            ("wasi:blobstore/types@0.2.0", Provider::Stub),
            ("wasi:blobstore/container@0.2.0", Provider::Unknown),
            ("wasi:http/types@0.2.0", http),
            ("wasi:http/outgoing-handler@0.2.4", http),
            ("wasi:http/outgoing-handler@0.3.0", Provider::Unknown),
            ("wasi:http/incoming-handler@0.2.0", Provider::Unknown),
            ("a:b/c@0.1.7", Provider::Stub),
            ("a:b/c@0.2.0", Provider::Unknown),
        ] {
            assert_eq!(grants.provider(import), provider, "{import}");
        }
    }

    #[test]
    fn knows_what_may_wait() {
        assert!(may_wait("wasi:io/poll@0.2.0", Provider::Wasi));
        assert!(!may_wait("wasi:random/random@0.2.0", Provider::Wasi));
        assert!(!may_wait("wasi:keyvalue/wasi-io", Provider::World));
    }
}
