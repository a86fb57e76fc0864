//! Write key-value watchers as WebAssembly components.
//!
//! A *watcher* is a component that a host calls whenever a key is set or deleted in a store. The contract is the world
//! `inbound-keyvalue` of the wasi-keyvalue draft of February 2023. In it every resource is a bare `u32` with a `drop-*`
//! function to be called once and in the right order; with this crate an author never sees one, never leaks one and never
//! drops one twice, and pays nothing for that.
//!
//! # A first watcher
//!
//! ```
//! use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
//!
//! #[handle_watch]
//! #[derive(Default)]
//! struct Audit {
//!     seen: u64,
//! }
//!
//! impl HandleWatch for Audit {
//!     fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
//!         self.seen += 1;
//!         println!("{} set {key} to {} bytes", self.seen, payload.into_bytes()?.len());
//!         Ok(())
//!     }
//! }
//! ```
//!
//! [`HandleWatch`] has a method for each event, and both do nothing unless you write them.
//! [`#[handle_watch]`](macro@handle_watch) makes the type the component's export. That is all: no WIT, no bindings, no `main`.
//!
//! # Payloads, whole and streamed
//!
//! Nothing of a [`Payload`] crosses into the guest until it is asked for, so looking at the key first is nearly free.
//!
//! * **Whole**: [`into_bytes`](Payload::into_bytes), [`into_string`](Payload::into_string), and `into_json` with the feature
//!   `json`. [`into_bytes_limited`](Payload::into_bytes_limited) where a payload may be larger than you can hold.
//! * **Streamed**, in constant memory: a `Payload` is [`Read`](std::io::Read) and [`BufRead`](std::io::BufRead), so
//!   [`lines`](std::io::BufRead::lines) and [`std::io::copy`] work on it; [`into_stream`](Payload::into_stream) gives an
//!   [`InputStream`] with chunks as [`Bytes`](bytes::Bytes), `skip`, and copying that stays in the host.
//!
//! ```
//! use std::io::BufRead;
//! use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload};
//!
//! struct Config;
//!
//! impl HandleWatch for Config {
//!     fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
//!         if !key.starts_with("config/") {
//!             return Ok(());
//!         }
//!         for line in payload.lines() {
//!             let line = line?;
//!             let (name, value) = line.split_once('=').ok_or("a line without `=`")?;
//!             println!("{name} is now {value}");
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! # Errors
//!
//! A handler returns any error with `?`. The draft gives handlers no result, so there is one way to tell the host: a trap. That
//! is the default, and where the target has a standard error the operation, the key and the error with all its causes are
//! written to it first. [`HandleWatch::on_error`] is where to decide otherwise. A panic is a trap too, and names the same.
//!
//! What this crate finds wrong is an [`Error`]: the host's refusals with the host's own words, and hosts that break the draft's
//! promises. It converts into [`std::io::Error`] with a fitting kind.
//!
//! # State
//!
//! `&mut self` is the instance's. Some hosts keep one instance for all events, some make a fresh one for each, and after a trap
//! there is always a fresh one. State is a cache, never a record.
//!
//! # Testing
//!
//! With the feature `testing`, plain `cargo test` runs a watcher on your own machine, with no wasm tooling, against a host that
//! can do all that a real one can, and accounts for every handle:
//!
//! ```toml
//! [dev-dependencies]
//! inbound-keyvalue = { version = "0.1", features = ["testing"] }
//! ```
//!
#![cfg_attr(all(feature = "testing", not(target_family = "wasm")), doc = "```")]
#![cfg_attr(not(all(feature = "testing", not(target_family = "wasm"))), doc = "```ignore")]
//! use inbound_keyvalue::testing::TestHost;
//! # use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
//! # #[handle_watch]
//! # #[derive(Default)]
//! # struct Audit { seen: u64 }
//! # impl HandleWatch for Audit {
//! #     fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
//! #         self.seen += 1;
//! #         payload.into_bytes()?;
//! #         Ok(())
//! #     }
//! # }
//!
//! let mut host = TestHost::<Audit>::new();
//! host.set("users/ada", "hello").expect_handled();
//! assert_eq!(host.watcher().unwrap().seen, 1);
//! ```
//!
//! # Building
//!
//! ```console
//! cargo component build --release
//! cargo build --release --target wasm32-wasip2
//! ```
//!
//! Either makes a component: the first with [cargo component](https://github.com/bytecodealliance/cargo-component), for
//! `wasm32-wasip1` unless told otherwise; the second with plain cargo. What a component imports depends on the target:
//!
//! | target | a component imports | standard error |
//! |---|---|---|
//! | `wasm32-unknown-unknown` | the world and nothing else | none: the message of a trap is lost |
//! | `wasm32-wasip1`, what `cargo component build` picks | the world, and WASI for what the guest uses | yes |
//! | `wasm32-wasip2`, with plain `cargo build` | the world, and WASI | yes |
//!
//! # What it costs
//!
//! What the same guest costs when written by hand on the generated bindings, in instructions and in bytes; the repository's
//! `tests/bench` measures it. With its default features the crate brings nine others into a build, proc-macros included.
//!
//! # What the draft cannot do
//!
//! The world is for receiving only. No function reads or writes a key: a [`Bucket`] can be opened and dropped, and does not
//! know its name. A [`Value`] can be written, but nothing stores it. What is watched is the host's configuration. There is no
//! retry, no order between instances, and no way to wait for a stream. [`questions`] has more.
//!
//! # Features
//!
//! | feature | what it adds | what it costs a guest |
//! |---|---|---|
//! | `json` | `Payload::into_json` | `serde` and `serde_json` |
//! | `testing` | the module `testing`, on native targets only | nothing: it is not compiled for wasm |
//!
//! # Layers
//!
//! Beneath the types here are the draft's functions as wit-bindgen generates them, public as `bindings` on wasm, and between
//! the two every type has a way out and in: `as_raw`, `into_raw`, `unsafe from_raw`.

#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod bucket;
mod buffer;
mod error;
mod export;
mod handle;
mod key;
mod payload;
mod stream;
mod sys;
mod value;
mod watch;

#[cfg(all(not(target_family = "wasm"), feature = "testing"))]
pub mod testing;

/// The low-level layer: the draft's functions with their bare handles, as wit-bindgen generates them. On wasm only.
///
/// For whoever needs a call that the wrapper lacks. Every rule of ownership is the caller's to keep here.
#[cfg(any(target_family = "wasm", doc))]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
#[path = "bindings/inbound_keyvalue.rs"]
pub mod bindings;

#[cfg(doc)]
#[doc = include_str!("questions.md")]
pub mod questions {}

pub use bucket::Bucket;
pub use error::{Call, Error};
/// Registers a watcher as the component's export, the draft's interface `handle-watch`.
///
/// Put it on the struct or enum that implements [`HandleWatch`]. The item stays as it is written; what the attribute adds has no
/// name in your scope. A component has one watcher, so a crate has the attribute once.
///
/// The watcher is made when an instance's first event comes, with [`Default`] unless told otherwise:
///
/// | option | means |
/// |---|---|
/// | `init = path`, `init = closure` | what is called, without parameters, to make the watcher; or a path to the watcher itself |
/// | `init = expression` | the watcher itself |
/// | `crate = path` | where this crate is, if it was renamed or comes through another |
///
/// What cannot be registered is a compile error at its place, which says what to write.
///
/// ```
/// use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, handle_watch};
///
/// #[handle_watch(init = Tombstones::with_capacity(64))]
/// struct Tombstones {
///     keys: Vec<String>,
/// }
///
/// impl Tombstones {
///     fn with_capacity(keys: usize) -> Self {
///         Self { keys: Vec::with_capacity(keys) }
///     }
/// }
///
/// impl HandleWatch for Tombstones {
///     fn on_delete(&mut self, _bucket: Bucket, key: Key) -> HandlerResult {
///         self.keys.push(key.to_string());
///         Ok(())
///     }
/// }
/// ```
pub use inbound_keyvalue_macros::handle_watch;
pub use key::Key;
pub use payload::Payload;
pub use stream::{Chunks, InputStream, MAX_ATTEMPTS, MAX_READ, OutputStream};
pub use value::Value;
pub use watch::{Failure, HandleWatch, HandlerResult, Operation};

/// What the attribute's expansion names. Not for use by hand: it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::*;
}

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
