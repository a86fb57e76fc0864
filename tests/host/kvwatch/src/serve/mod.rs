//! Delivers a store's events to a watcher, for months of operation.
//!
//! The parts, from the outside to the inside:
//!
//! | part | what it does | does not depend on |
//! |---|---|---|
//! | [`Source`] | brings the events of one store, and ends them there | workers, attempts, dead letters |
//! | [`deliver`] | the loop between a source and the workers; it owns all state except the permits | stores, WebAssembly |
//! | [`Schedule`] | selects the event that may start now | time, tasks, stores |
//! | [`Retry`] | the waits and the number of attempts of a trapped event | events |
//! | [`Handler`] | one worker; [`Worker`] is one with a session of a watcher | everything else |
//! | [`Permit`] | whether an event that a worker got early may still begin | everything else |
//! | [`DeadLetters`] | keeps the events that could not be handled | everything else |
//! | [`Denials`] | logs each host and bucket that a watcher may not use, once | everything else |
//! | [`Metrics`] | counts; one shared struct of atomics | everything else |
//!
//! [`conforms`] tests a new [`Source`] on its real server.
//!
//! The rules. A test of a rule has its name:
//!
//! - **D1** An event is acknowledged after its handler returned, or after it is a dead letter. Nothing else ends it.
//! - **D2** Events of one key run one at a time, in the store's order. The next one starts after the ack of the previous
//!   one was confirmed. Events of different keys run in parallel. A worker is free as soon as its handler has returned.
//! - **D3** A trapped event is tried again after growing waits. Later events of its key wait; other keys do not. Events that
//!   come for the third time run alone, in stream order. Only the lowest event that was pending at a takeover can have
//!   killed the process, so only that event can become a dead letter for the number of its deliveries.
//! - **D4** An event without attempts left becomes a dead letter. A failure to write it is not an ack.
//! - **D5** Nothing starts while the source says [`Signal::Close`]. See [`Gate`](crate::sources::nats::Gate). An event that waits for
//!   a worker has not started: the loop takes it back.
//! - **D6** On shutdown no event starts. Running events may finish within the grace time. The source gets back the rest.
//! - **D7** Memory is bounded: by the store, or by [`Source::capacity`].

mod attempt;
mod conformance;
mod current;
mod dead_letters;
mod delivery;
mod denials;
mod event;
mod handler;
mod lease;
mod metrics;
mod permit;
mod prometheus;
mod retry;
mod schedule;
mod source;
mod threads;
mod worker;

pub use conformance::{Client, conforms};
pub use dead_letters::{DeadLetterFile, DeadLetterLog, DeadLetters, Letter};
pub use delivery::{Settings, Summary, deliver};
pub use denials::Denials;
pub use event::{Change, Escaped, EscapedWhole, Event, Position};
pub use handler::{Handler, Outcome};
pub use metrics::{HANDLER_TIME_BOUNDS, Histogram, Metrics, Snapshot};
pub(crate) use metrics::{count, gauge};
pub use permit::{Permit, Running};
pub use prometheus::{Sample, prometheus};
pub use retry::{Retry, Waits};
pub use schedule::{Schedule, Start};
pub use source::{Acked, Arrival, BoxFuture, Signal, Source};
pub use worker::{Crew, Usage, Worker, Workers};

/// A cause of a failure, with its own causes.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;
