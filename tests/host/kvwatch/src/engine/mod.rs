//! Runs watchers with wasmtime: linking, sessions, limits and the output of a watcher.

mod anatomy;
mod cache;
mod grants;
#[cfg(feature = "http")]
mod http;
mod interface;
mod limits;
mod linking;
mod outbound;
mod outcome;
mod output;
mod preflight;
mod runtime;
mod session;
mod store;
mod uncounted;
mod waiting;
pub(crate) mod watcher;

pub use anatomy::{Anatomy, Module};
pub use cache::Cache;
pub use grants::{Grants, Provider, Resource};
#[cfg(feature = "http")]
pub use http::{AllowedHost, AllowedHostError};
pub use outcome::{Cause, Ending, Outcome, Trapped};
#[cfg(feature = "serve")]
pub(crate) use output::MOST_CAPTURED;
pub use output::{Output, Sink, Stream};
pub use runtime::{Engine, EngineBuilder, Limits};
pub use session::{Session, SessionBuilder};
pub use store::Watched;
pub use watcher::{Import, Watcher};
