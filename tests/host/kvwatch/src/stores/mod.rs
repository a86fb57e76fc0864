//! The stores that a served watcher acts on.
//!
//! A new store is one file here with an implementation of [`Store`]. These rules hold for each:
//!
//! - A method never blocks. It returns [`Answer::Later`](crate::world::store::Answer::Later) and does its work in the future, which
//!   is dropped when the event's time (`--time`) is over.
//! - Atomic functions are atomic among all clients of the store, not only in this process. Attempts under contention are bounded.
//! - If the store cannot do what the draft promises, the method refuses with
//!   [`StoreError::Unsupported`](crate::world::store::StoreError::Unsupported), unless the user has chosen less.
//! - Every write carries its writer and [`Acting::depth`], if the store has a place for them. The source of the same store reads
//!   them into [`Event::depth`](crate::serve::Event::depth).
//!
//! [`conforms`](crate::world::store::conforms) tests these rules on a running store. The guide
//! [`docs/adding-a-store.md`](https://docs.rs/crate/kvwatch/latest/source/docs/adding-a-store.md) has the whole list.

mod feedback;
mod granted;
mod nats;
mod redis;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use inbound_keyvalue_host::store::Store;

pub use feedback::Feedback;
pub use granted::{BadGrant, BucketGrant, Granted};
pub use nats::{DEPTH, NatsStore, WRITER};
pub use redis::RedisStore;

/// The number of writes of watchers that led to the event that a worker handles. The worker sets it before each event, and its
/// store reads it at each write.
#[derive(Clone, Debug, Default)]
pub struct Depth(Arc<AtomicU32>);

impl Depth {
    /// Sets the depth of the event that is handled now.
    pub fn set(&self, depth: u32) {
        self.0.store(depth, Ordering::Relaxed);
    }

    /// The depth of the event that is handled now.
    #[must_use]
    pub fn of_event(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// The depth of a write in this event: one more than the depth of the event.
    #[must_use]
    pub fn of_write(&self) -> u32 {
        self.of_event().saturating_add(1)
    }
}

/// The store that the watcher of one worker acts on.
#[derive(Clone, Debug)]
pub struct Acting {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The bucket that the events come from.
    pub event_bucket: String,
    /// The depth that the store reads. Each worker has its own.
    pub depth: Depth,
}
