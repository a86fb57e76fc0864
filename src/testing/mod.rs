//! Tests of a watcher on your own machine: plain `cargo test`, without wasm tools. Needs the feature `testing`.
//!
//! A [`TestHost`] delivers sets and deletes to a watcher through the dispatch that its component's export uses. After each event it
//! accounts for every handle. A handle that was leaked or dropped twice fails the test, with its kind and the line that it came
//! from.
//!
//! ```
//! # use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
//! # #[handle_watch]
//! # #[derive(Default)]
//! # struct Sizes(Vec<usize>);
//! # impl HandleWatch for Sizes {
//! #     fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
//! #         self.0.push(payload.into_string()?.len());
//! #         Ok(())
//! #     }
//! # }
//! use inbound_keyvalue::testing::{Content, Personality, TestHost};
//!
//! // A host that does everything that the draft describes.
//! let mut host = TestHost::<Sizes>::new();
//! host.set("motd", "hello").expect_handled();
//! assert_eq!(host.watcher().unwrap().0, [5]);
//!
//! // The text of a failure.
//! let failure = host.set("motd", b"\xff".as_slice()).expect_failure();
//! assert!(failure.starts_with("on-set of \"motd\" failed: the payload is not UTF-8"));
//!
//! // A host that refuses to give payloads. Every other deviation is set the same way.
//! let broken = Personality::deviating(|host| host.consume_sync_error = Some("out of memory".into()));
//! let mut host = TestHost::<Sizes>::with(broken);
//! let failure = host.set("motd", Content::repeat("a line\n", 1 << 30)).expect_failure();
//! assert!(failure.ends_with("the host refused `payload-consume-sync`: out of memory"));
//! ```
//!
//! | to | use |
//! |---|---|
//! | give a watcher events | [`TestHost::set`], [`delete`](TestHost::delete), [`replay`](TestHost::replay) for recorded ones |
//! | make payloads | anything that is bytes or text, or a [`Content`]: repeated, generated, a file, JSON |
//! | see what an event did | [`Outcome`]: its [`Ending`], the values written, the calls made |
//! | test for an error's type | [`Outcome::error`] |
//! | test under every host | [`Personality::all`] |
//! | start over | [`TestHost::fresh_instance`], or [`Instance::PerEvent`] for every event |
//! | choose which buckets exist | [`TestHost::buckets`] |
//! | fill the store, and look into it | [`TestHost::bucket`]; [`Outcome::changes`] has what an event changed |
//! | make a call on the store fail | [`TestHost::refuse_next`] |
//! | give a watcher its own writes as events | [`TestHost::feed`] |
//! | test a function by itself | [`TestHost::payload`], [`TestHost::event_bucket`], then [`TestHost::settle`] |
//!
//! [`Host`] is the world itself on bare handles. `kvwatch` uses the same host for components in wasmtime. So a watcher behaves in
//! a native test as it does in a component.

mod outcome;
mod replay;
mod stored;
mod watcher;

pub use inbound_keyvalue_host::{
    AfterEnd, BadHandle, BadLine, CallResult, Change, ConsumedPayload, Content, Details, End, Event, EventError,
    EventProblem, Events, Fault, HandleKind, Host, HostLimits, Instance, IntoContent, Numbering, Origin, Personality,
    Problem, Reading, Repeat, SetHandles, Size, SizeHint, StreamError, StreamResult, Transfer, Trap, Violation,
    Writing, Written,
};
pub use outcome::{Ending, Outcome};
pub use replay::{ReplayCause, ReplayError};
pub use stored::{StoreChange, StoredBucket};
pub use watcher::TestHost;
