//! Servers that tests start.

use std::env;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// The program of a server: the one that a variable names, or the one on the path.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    variable: &'static str,
    found: OnceLock<Option<PathBuf>>,
}

impl Server {
    /// The program `name`, or `$variable`. The script `.ci/NAME` gets it.
    #[must_use]
    pub const fn new(name: &'static str, variable: &'static str) -> Self {
        Self { name, variable, found: OnceLock::new() }
    }

    /// The path of the program.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn path(&self) -> Result<&Path, String> {
        let Self { name, variable, found } = self;
        let found = found.get_or_init(|| {
            let path = env::var_os(variable).map_or_else(|| PathBuf::from(name), PathBuf::from);
            let version = Command::new(&path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success()).then_some(path)
        });
        found.as_deref().ok_or_else(|| {
            format!("it needs {name}: run `.ci/{name} FOLDER`, and set {variable} to the program that it prints")
        })
    }

    /// Whether the variable is set. Then the tests must run.
    #[must_use]
    pub fn is_named(&self) -> bool {
        env::var_os(self.variable).is_some()
    }
}

/// A free port of 127.0.0.1. Choose ports that the system does not give to outgoing connections: a server that is restarted must
/// find its port free again.
#[must_use]
pub fn free_port(ports: Range<u16>) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = std::process::id() * 64 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = ports.start + u16::try_from(offset % u32::from(ports.end - ports.start)).unwrap_or_default();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
