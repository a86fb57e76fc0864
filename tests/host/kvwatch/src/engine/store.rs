//! A bucket in memory whose changes go to a watcher.

use std::sync::Arc;

use inbound_keyvalue_host::store::MemoryStore;
use inbound_keyvalue_host::{Change, Content, Event};

use super::outcome::Outcome;
use super::session::{Session, SessionBuilder};

/// A bucket of a store in memory whose changes go to a watcher. The watcher acts on the same store.
///
/// A change is made before the watcher gets the event, and it stays if the event fails. The watcher's own changes are [in the
/// outcome](Outcome::changes), and do not cause events.
///
/// ```no_run
/// use kvwatch::{Engine, Watched, Watcher};
///
/// let watcher = Watcher::load(&Engine::new()?, "running_totals.wasm")?;
/// let mut orders = Watched::new(watcher.session(), "orders");
/// orders.set("1", &"{}".into()).expect_handled();
/// println!("{:?}", orders.store().keys("orders"));
/// # Ok::<(), kvwatch::Error>(())
/// ```
#[derive(Debug)]
pub struct Watched {
    store: MemoryStore,
    bucket: String,
    session: Session,
}

impl Watched {
    /// A bucket of an empty store, watched in a session.
    #[must_use]
    pub fn new(session: SessionBuilder, bucket: impl Into<String>) -> Self {
        Self::over(MemoryStore::new(), session, bucket)
    }

    /// A bucket of this store, watched in a session. The keys that the store has already cause no events.
    ///
    /// ```no_run
    /// use kvwatch::world::store::MemoryStore;
    /// use kvwatch::{Engine, Watched, Watcher};
    ///
    /// let store = MemoryStore::new();
    /// store.insert("totals", "oslo", "1200");
    /// let watcher = Watcher::load(&Engine::new()?, "running_totals.wasm")?;
    /// let mut sales = Watched::over(store, watcher.session(), "sales");
    /// sales.set("oslo", &"550".into()).expect_handled();
    /// # Ok::<(), kvwatch::Error>(())
    /// ```
    #[must_use]
    pub fn over(store: MemoryStore, session: SessionBuilder, bucket: impl Into<String>) -> Self {
        let bucket = bucket.into();
        let session = session.store(Arc::new(store.clone())).event_bucket(&*bucket).build();
        Self { store, bucket, session }
    }

    /// Sets a key.
    #[must_use = "a watcher's failure is only known from here"]
    pub fn set(&mut self, key: &str, content: &Content) -> Outcome {
        self.store.insert(&self.bucket, key, content);
        self.session.set(key, content)
    }

    /// Deletes a key. The watcher gets the event even if the key was not set, because a recorded delete has happened.
    #[must_use = "a watcher's failure is only known from here"]
    pub fn delete(&mut self, key: &str) -> Outcome {
        self.store.remove(&self.bucket, key);
        self.session.delete(key)
    }

    /// Applies a recorded event.
    #[must_use = "a watcher's failure is only known from here"]
    pub fn apply(&mut self, event: &Event) -> Outcome {
        match &event.change {
            Change::Set(content) => self.set(&event.key, content),
            Change::Delete => self.delete(&event.key),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to [replace](Session::replace) its watcher.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}
