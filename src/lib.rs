//! Write key-value watchers as WebAssembly components.
//!
//! A *watcher* is a component that a host calls whenever a key is set or deleted in a store. The contract is the world
//! `inbound-keyvalue` of the wasi-keyvalue draft of February 2023. In the draft every resource is a bare `u32` with a `drop-*`
//! function. This crate turns them into types that are dropped once and in the right order, at no cost.
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
//! Both methods of [`HandleWatch`] do nothing unless you write them. [`#[handle_watch]`](macro@handle_watch) makes the type the
//! component's export. You need no WIT, no bindings and no `main`.
//!
//! # Build it
//!
//! The manifest says that the crate is a component. With `rlib` too, the tests in `tests/` can use the watcher:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! inbound-keyvalue = "0.1"
//!
//! [dev-dependencies]
//! inbound-keyvalue = { version = "0.1", features = ["testing"] }
//! ```
//!
//! | command | the component imports | standard error |
//! |---|---|---|
//! | `cargo build --release --target wasm32-wasip2` | the world, and WASI | yes |
//! | `cargo component build --release`, for `wasm32-wasip1` | the world, and WASI for what the guest uses | yes |
//! | `cargo component build --release --target wasm32-unknown-unknown` | the world and nothing else | none: the message of a trap is lost |
//!
//! Plain `cargo build` for `wasm32-wasip1` or `wasm32-unknown-unknown` makes a core module, which no host of components loads. For
//! these targets use [cargo component](https://github.com/bytecodealliance/cargo-component). It needs the section
//! `[package.metadata.component]` in the manifest.
//!
//! A component has one watcher. Do not depend on a crate that registers a watcher of its own: the link fails with a duplicate
//! symbol. Put code that several watchers share in a library without `#[handle_watch]`, and give each watcher a package.
//!
//! # Run it
//!
//! `kvwatch` is a host to use while you write. `cargo install kvwatch` installs it. It builds a watcher and gives it events, from
//! a file or from its prompt, with the store in memory:
//!
//! ```console
//! kvwatch run . events.jsonl
//! ```
//!
//! # The path of an event
//!
//! ```text
//!  store ──► host ──► on-set(bucket, key, payload) ──► #[handle_watch] ──► your on_set(Bucket, Key, Payload)
//!             ▲                                                                 │
//!             └──── drop-bucket, payload-consume-*, read, … ◄── this crate ◄────┘
//! ```
//!
//! | what | who owns it | until |
//! |---|---|---|
//! | [`Bucket`] | your handler | you drop it, which calls `drop-bucket` once |
//! | [`Payload`] | your handler | you read it, which consumes it, or drop it, which calls `drop-payload` once |
//! | [`InputStream`] | your handler | you drop it, which calls `drop-input-stream` once |
//! | the [`Key`] | the code that `#[handle_watch]` makes | the handler returns |
//! | your struct | the instance | the host drops the instance, or an event traps |
//! | the value in the store | the host | always: a watcher reads a copy |
//!
//! # Read a payload
//!
//! No byte of a [`Payload`] enters the guest until you read it. So a watcher that looks at the key and returns costs almost nothing.
//!
//! * **Whole**: [`into_bytes`](Payload::into_bytes), [`into_string`](Payload::into_string), and `into_json` with the feature
//!   `json`.
//! * **Streamed**, in constant memory: a `Payload` is [`Read`](std::io::Read) and [`BufRead`](std::io::BufRead), so
//!   [`lines`](std::io::BufRead::lines) and [`std::io::copy`] work on it. [`into_stream`](Payload::into_stream) returns an
//!   [`InputStream`] with chunks as [`Bytes`], `skip`, and copies inside the host.
//! * **Limited**: [`limit`](Payload::limit) sets how much you accept, for all of these.
//! * **For a crate that wants [`Seek`](std::io::Seek)**: a stream cannot seek. Read the payload whole, and use
//!   `std::io::Cursor::new(payload.into_bytes()?)`.
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
//!         for line in payload.limit(64 * 1024).lines() {
//!             let line = line?;
//!             let (name, value) = line.split_once('=').ok_or("a line without `=`")?;
//!             println!("{name} is now {value}");
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! # Report an error
//!
//! A handler returns errors with `?` ([`HandlerResult`]). In the draft handlers have no result, so the host can see an error
//! only through a trap. That is the default. Before the trap, the operation, the key, and the error with all its causes are written
//! to standard error, if the target has one. Override [`HandleWatch::on_error`] to decide otherwise. A panic is a trap too.
//!
//! This crate's own errors are [`Error`]: a refusal of the host in the host's words, or an answer that breaks the draft's rules.
//!
//! # Keep state
//!
//! `&mut self` belongs to the instance. Some hosts keep one instance for all events, and some make a new one for each. After a trap
//! the instance is always new. Use state as a cache, never as a record.
//!
//! # Test it
//!
//! With the feature `testing`, plain `cargo test` runs the watcher on your machine, without wasm tools. The test host accounts for
//! every handle.
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
//! # Costs
//!
//! The same watchers, with this crate and written by hand on the generated bindings, on `wasm32-unknown-unknown` with the profile
//! that the README recommends. `tests/bench` in the repository measures more.
//!
//! | | by hand | with this crate |
//! |---|---:|---:|
//! | instructions for an event, ignored | 240 | 96 |
//! | instructions for an event, 7 bytes read whole | 634 | 497 |
//! | instructions for an event, 7 bytes read with `BufRead` | 661 | 566 |
//! | bytes of the smallest watcher | 11 699 | 11 086 |
//! | bytes of the watcher above | 23 128 | 25 709 |
//! | packages to compile before the watcher | 34 | 10 |
//!
//! # Act on the store
//!
//! With the feature `outbound`, a [`Bucket`] reads and writes its keys. The event's own bucket and a bucket from [`Bucket::open`] have
//! the same calls. A component imports only the interfaces of which it calls a function.
//!
#![cfg_attr(feature = "outbound", doc = "```")]
#![cfg_attr(not(feature = "outbound"), doc = "```ignore")]
//! use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload};
//!
//! struct Emails;
//!
//! impl HandleWatch for Emails {
//!     fn on_set(&mut self, bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
//!         if let Some(user) = key.strip_prefix("users/") {
//!             bucket.set_bytes(format!("by-email/{}", payload.into_string()?), user)?;
//!         }
//!         Ok(())
//!     }
//! }
//! ```
//!
//! * **Idempotence.** A host can deliver an event twice, for example after a crash. Write handlers that may run twice: `set` the same
//!   content, `delete_many`. `increment` is not such a call: an event that comes twice is counted twice. If this matters, keep a key for
//!   each event, and count the keys.
//! * **Order.** The payload of an event is what the key was set to. The store may have a newer content. A watcher that derives other keys
//!   reads the key from the store, and takes the event only as a sign that the key may have changed. Then two events may come in any
//!   order. The example `secondary-index` does this.
//! * **Failures.** A trap undoes nothing: what was written before it stays. Choose an order of the calls in which the next delivery of the
//!   event completes the work. Write the new key first, and delete the old one last, as the example `quarantine` does.
//! * **Loops.** A watcher that writes the keys that it watches can get its own writes as events. A host cannot always tell who wrote a
//!   key: Redis cannot. Look at the key first and pass over your own keys, as the code above does, or write to another bucket. In a test,
//!   `TestHost::feed` delivers the watcher's own writes to it. `kvwatch run --feed` does the same with a component.
//! * **Atomicity.** `increment` and `compare_and_swap` are atomic. The draft says that `get_many` and `set_many` are too. Two calls are
//!   never atomic together: another guest can change the key between them. No call compares bytes.
//!
//! | what hosts promise | `TestHost` and `kvwatch run` | the draft |
//! |---|---|---|
//! | the key of a set has its content before the event | yes | not said |
//! | a watcher's own writes come back as events | only after `feed`, or with `--feed` | not said |
//! | every single call is atomic | yes | four of them, see above |
//! | a batch that fails changes nothing | yes, but for the personality `batches-fail-half-way` | not said |
//! | a number is decimal text, and any other content is an error | yes | not said |
//! | events of one key are handled one at a time | yes, all events are | not said |
//!
//! Read the documentation of another host before you rely on any of this there.
//!
//! # Limits of the draft
//!
//! A bucket does not know its name. No function tells a key that is not set from another failure, except `exists`. There is no
//! transaction over several calls, and no expiry. The host's configuration decides which keys are watched. There is no retry, no order
//! between instances, and no way to wait for a stream. [`questions`] has more.
//!
//! # Features
//!
//! | feature | what it adds | what it costs a guest |
//! |---|---|---|
//! | `json` | `Payload::into_json` | `serde` and `serde_json` |
//! | `outbound` | the calls of `Bucket` that read and write keys | 16 bytes, and the calls that it uses |
//! | `small-allocator` | a global allocator for small watchers, on wasm only | 7 to 12 kB less on `wasm32-unknown-unknown` |
//! | `testing` | the module `testing`, for native targets | nothing: wasm builds contain none of it |
//!
//! `small-allocator` replaces the allocator of the standard library, which is 7.6 kB of a watcher for `wasm32-unknown-unknown`. `Bytes` then
//! has an owner of its own, which saves 4 kB more. Use it on this target, for a watcher that handles an event and forgets it. It rounds each
//! allocation up to a power of two, and never merges free blocks. So do not use it for a watcher that keeps much data of changing sizes.
//!
//! On `wasm32-wasip1` and `wasm32-wasip2` the libc has an allocator too. The libc keeps it for itself, so the feature saves instructions and 1 to
//! 4 kB on `wasm32-wasip1`. On `wasm32-wasip2` most components are 2 kB larger with it. If your crate has a `#[global_allocator]` of its own,
//! leave the feature off: the compiler refuses two.
//!
//! # Without these types
//!
//! The draft's functions are public in `bindings`, on wasm. Every type here converts from and to its bare handle: `as_raw`,
//! `into_raw`, `unsafe from_raw`.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings), allow(dead_code, unused_variables))))]

mod bucket;
mod error;
mod export;
mod handle;
mod payload;
#[cfg(any(test, all(target_family = "wasm", feature = "small-allocator")))]
mod small_allocator;
mod stream;
mod sys;
mod value;
mod watch;

#[cfg(all(not(target_family = "wasm"), feature = "testing"))]
pub mod testing;
#[cfg(all(target_family = "wasm", feature = "testing"))]
#[path = "testing/on_wasm.rs"]
pub mod testing;

/// The draft's functions with their bare handles, as wit-bindgen generates them. On wasm only.
///
/// Use it for a call that this crate lacks. You must keep every rule of ownership yourself then. All names in it are the
/// generator's, and a new version of the generator may change them: this module is outside this crate's promise of stability.
#[cfg(any(target_family = "wasm", doc))]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
#[path = "bindings/inbound_keyvalue.rs"]
pub mod bindings;

/// The draft's functions that act on the store, as wit-bindgen generates them. On wasm only, with the feature `outbound`.
///
/// The documentation of `bindings` applies to this module too.
#[cfg(all(feature = "outbound", any(target_family = "wasm", doc)))]
#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::pedantic, reason = "generated")]
#[rustfmt::skip]
#[path = "bindings/outbound_keyvalue.rs"]
pub mod outbound_bindings;

#[cfg(doc)]
#[doc = include_str!("questions.md")]
pub mod questions {}

pub use bucket::Bucket;
#[cfg(feature = "outbound")]
pub use bucket::Payloads;
pub use bytes::Bytes;
pub use error::store::{StoreCall, StoreError};
pub use error::{Call, Error};
/// Registers a watcher as the component's export, the draft's interface `handle-watch`.
///
/// Put it on the struct or enum that implements [`HandleWatch`]. The attribute does not change the item and adds no name to its
/// scope. A component has one watcher, so use the attribute once in a crate: a build for wasm refuses a second one.
///
/// The first event of an instance makes the watcher, with [`Default`] or with an expression of yours:
///
/// | option | meaning |
/// |---|---|
/// | `init = expression` | the expression that makes the watcher of a new instance |
/// | `crate = path` | the path to this crate, if it was renamed or comes through another crate |
///
/// A mistake is a compile error at its place, and the message says what to write.
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
///         self.keys.push(key.to_owned());
///         Ok(())
///     }
/// }
/// ```
pub use inbound_keyvalue_macros::handle_watch;
pub use payload::Payload;
pub use stream::{Chunks, InputStream, IntoChunks, MAX_ATTEMPTS, MAX_READ, OutputStream};
pub use value::Value;
pub use watch::{Failure, HandleWatch, HandlerResult, Key, Operation};

/// The names that the attribute's expansion uses. It changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use crate::export::*;
}

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
