//! A host for key-value watchers: runs components of the world `wasi:keyvalue/inbound-keyvalue`.
//!
//! A [`Watcher`] is a compiled component. A [`Session`] delivers events to it. An [`Outcome`] is the result of one event. [`Watched`]
//! is a store in memory whose changes go to a watcher. [`build`] makes components of cargo packages.
//!
//! ```no_run
//! use kvwatch::{Engine, Output, Watcher};
//!
//! let engine = Engine::builder().memory_limit(64 << 20).build()?;
//! let watcher = Watcher::load(&engine, "audit_log.wasm")?;
//! let mut session = watcher.session().output(Output::captured()).timed().build();
//! let outcome = session.set("users/ada", &"hello".into());
//! outcome.expect_handled();
//! println!("{} calls in {:?}: {}", outcome.calls, outcome.duration, outcome.stdout());
//! # Ok::<(), kvwatch::Error>(())
//! ```
//!
//! The functions of the draft are those of [`inbound_keyvalue_host::Host`], which native tests use too, with the same
//! [`Personality`](inbound_keyvalue_host::Personality). This crate decides nothing about the draft.

pub mod build;
mod engine;
mod error;
#[cfg(feature = "serve")]
pub mod serve;
pub mod sources;
#[cfg(feature = "serve")]
pub mod stores;
mod units;

#[cfg(feature = "http")]
pub use engine::{AllowedHost, AllowedHostError};
pub use engine::{
    Anatomy, Cache, Cause, Ending, Engine, EngineBuilder, Grants, Import, Limits, Module, Outcome, Output, Provider,
    Resource, Session, SessionBuilder, Sink, Stream, Trapped, Watched, Watcher,
};
pub use error::Error;
/// The world from the host's side. The signatures of this crate name its types.
pub use inbound_keyvalue_host as world;
pub use inbound_keyvalue_host::Operation;
pub use units::{ByteSize, ByteSizeError};
