//! A host for key-value watchers: runs components of the world `wasi:keyvalue/inbound-keyvalue`.
//!
//! A [`Watcher`] is a compiled component, a [`Session`] gives it events, and an [`Outcome`] tells what became of one.
//! [`Watched`] is a store in memory whose changes go to a watcher. [`build`] makes components of cargo packages.
//!
//! ```no_run
//! use kvwatch::{Engine, Output, Watcher};
//!
//! let engine = Engine::builder().memory_limit(64 << 20).build()?;
//! let watcher = Watcher::load(&engine, "audit_log.wasm")?;
//! let mut session = watcher.session().output(Output::captured()).timed().build();
//! let outcome = session.set("users/ada", &"hello".into());
//! outcome.expect_handled();
//! println!("{} calls in {:?}: {}", outcome.calls, outcome.duration, outcome.stdout);
//! # Ok::<(), kvwatch::Error>(())
//! ```
//!
//! What the host does is [`inbound_keyvalue::testing::Host`], the one that native tests run against, with the same
//! [`Personality`](inbound_keyvalue::testing::Personality): nothing of the draft is decided here.

mod anatomy;
pub mod build;
mod engine;
mod error;
mod host;
mod output;
mod session;
mod store;
mod units;
mod watcher;

pub use anatomy::{Anatomy, Module};
pub use engine::{Engine, EngineBuilder, Limits};
pub use error::Error;
/// Which of the two events it was.
pub use inbound_keyvalue::Operation;
/// The part of the SDK that this crate's signatures name.
pub use inbound_keyvalue::testing;
pub use output::{Output, Stream};
pub use session::{Cause, Ending, Outcome, Session, SessionBuilder, Trapped};
pub use store::{MemoryStore, Watched};
pub use units::{ByteSize, ByteSizeError};
pub use watcher::{Import, Provider, Watcher};
