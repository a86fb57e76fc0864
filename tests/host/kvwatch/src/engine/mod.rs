//! wasmtime behind the world: linking, sessions, limits and what a watcher prints.

mod anatomy;
mod linking;
mod output;
mod runtime;
mod session;
mod store;
pub(crate) mod watcher;

pub use anatomy::{Anatomy, Module};
pub use output::{Output, Sink, Stream};
pub use runtime::{Engine, EngineBuilder, Limits};
pub use session::{Cause, Ending, Outcome, Session, SessionBuilder, Trapped};
pub use store::{MemoryStore, Watched};
pub use watcher::{Import, Provider, Watcher};
