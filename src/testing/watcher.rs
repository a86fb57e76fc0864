use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use inbound_keyvalue_host::store::{self, MemoryStore, Refusing};
use inbound_keyvalue_host::{Change, Content, Event, Host, Instance, IntoContent, Personality, Violation};

use super::outcome::{Ending, HandlerError, Outcome};
use super::replay::{self, ReplayError};
use super::stored::{StoreChange, StoredBucket};
use crate::bucket::Bucket;
use crate::error::store::StoreCall;
use crate::export::Registered;
use crate::payload::Payload;
use crate::sys::native::{Entered, Shared, Unwound};
use crate::watch::{Failure, HandleWatch, Operation, deliver_delete, deliver_set};

/// A host for one watcher, in the process of a native test.
///
/// It delivers sets and deletes as a real host does, through the dispatch that the component's export uses. The first
/// event makes the watcher, with its `Default` or `init`. The watcher is kept until an event traps.
///
/// After each event the host accounts for every handle of the event. A handle that was leaked, dropped twice or misused fails the
/// test, and the message names its kind and its origin. After [`tolerate`](Self::tolerate) the test decides.
///
/// # Outside an event
///
/// [`payload`](Self::payload) and [`event_bucket`](Self::event_bucket) make arguments for a function that is tested alone. You
/// can use them before, during and after events, until [`settle`](Self::settle).
///
/// # The store
///
/// Behind the host is a store in memory. It has a bucket for every name. Events come from the bucket `watched`, unless the test
/// calls [`watching`](Self::watching). [`set`](Self::set) and [`delete`](Self::delete) change that bucket before they deliver the
/// event. With [`bucket`](Self::bucket), the test fills a bucket and looks into it. The host keeps 1 MiB of each value, and
/// refuses to store a longer one. To change this, call [`Host::keep_written`] through [`host_mut`](Self::host_mut). A watcher's
/// own changes cause no events, unless the test calls [`feed`](Self::feed).
///
/// A thread can have several hosts. Each handle goes to the host that made it, inside and outside events.
/// [`Bucket::open`](crate::Bucket::open), [`Value::new`](crate::Value::new) and `from_raw` have no handle that names a host. They
/// go to the host whose event is running, or outside events to the host that was made last and is alive. Other threads do not
/// see the hosts of this one.
///
/// ```
/// use inbound_keyvalue::testing::TestHost;
/// use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, handle_watch};
///
/// #[handle_watch]
/// #[derive(Default)]
/// struct Longest(usize);
///
/// impl HandleWatch for Longest {
///     fn on_set(&mut self, _bucket: Bucket, _key: Key, payload: Payload) -> HandlerResult {
///         self.0 = self.0.max(payload.into_bytes()?.len());
///         Ok(())
///     }
/// }
///
/// let mut host = TestHost::<Longest>::new();
/// host.set("a", "four").expect_handled();
/// host.set("b", "two").expect_handled();
/// assert_eq!(host.watcher().unwrap().0, 4);
/// ```
pub struct TestHost<W, F = fn() -> W> {
    host: Shared,
    init: F,
    watcher: Option<W>,
    tolerant: bool,
    entered: Entered,
    store: MemoryStore,
    refusals: Refusing,
    /// The number of times in a row that a watcher gets its own changes.
    feed: u32,
}

impl<W: Registered> TestHost<W> {
    /// A host with the default [`Personality`], which does everything that the draft describes.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Personality::default())
    }

    /// A host with a [`Personality`] of its own.
    ///
    /// ```
    /// # use inbound_keyvalue::testing::{Personality, TestHost};
    /// # use inbound_keyvalue::{HandleWatch, handle_watch};
    /// # #[handle_watch]
    /// # #[derive(Default)]
    /// # struct Quiet;
    /// # impl HandleWatch for Quiet {}
    /// for (name, personality) in Personality::all() {
    ///     println!("{name}");
    ///     let mut host = TestHost::<Quiet>::with(personality);
    ///     host.set("key", "value").expect_handled();
    /// }
    /// ```
    #[must_use]
    pub fn with(personality: Personality) -> Self {
        Self::with_watcher(personality, W::init as fn() -> W)
    }
}

impl<W: HandleWatch, F: FnMut() -> W> TestHost<W, F> {
    /// A host with an `init` that makes the watcher. Use it for a watcher with other settings, for one that is not registered, or
    /// for one that borrows from the test.
    ///
    /// `init` is called for each fresh instance.
    ///
    /// ```
    /// # use inbound_keyvalue::HandleWatch;
    /// use inbound_keyvalue::testing::{Personality, TestHost};
    ///
    /// struct Limited {
    ///     bytes: usize,
    /// }
    ///
    /// impl HandleWatch for Limited {}
    ///
    /// let mut host = TestHost::with_watcher(Personality::default(), || Limited { bytes: 10 });
    /// host.set("key", "value").expect_handled();
    /// ```
    ///
    /// `F` is the type of `init`. A function that takes any host is generic over it: `fn check<W, F>(host: &mut TestHost<W, F>)`.
    #[must_use]
    pub fn with_watcher(personality: Personality, init: F) -> Self {
        let store = MemoryStore::new();
        let refusals = Refusing::new(Arc::new(store.clone()));
        let mut host = Host::new(personality);
        host.set_store(Arc::new(refusals.clone()));
        let host = Rc::new(RefCell::new(host));
        Self { entered: Entered::new(&host), host, init, watcher: None, tolerant: false, store, refusals, feed: 0 }
    }

    /// Sets `key` in the bucket that events come from, and then delivers the event: the watcher's `on_set`.
    ///
    /// # Panics
    ///
    /// If the watcher leaked or misused a handle, or if its own changes come back to it more often than [`feed`](Self::feed) allows,
    /// unless the host [tolerates](Self::tolerate) it.
    #[track_caller]
    pub fn set<C>(&mut self, key: impl AsRef<str>, content: impl IntoContent<C>) -> Outcome {
        let (key, content) = (key.as_ref(), content.into_content());
        self.store.insert(self.host.borrow().event_bucket(), key, &content);
        let outcome = self.deliver_set(key, &content);
        self.feed_changes(outcome, self.feed)
    }

    #[track_caller]
    fn deliver_set(&mut self, key: &str, content: &Content) -> Outcome {
        let given = self.host.borrow_mut().begin_set(content);
        let (bucket, payload) =
            (Bucket::adopt(self.entered.raw(given.bucket)), Payload::adopt(self.entered.raw(given.payload)));
        self.deliver(Operation::Set, key, |watcher| deliver_set(watcher, bucket, key, payload))
    }

    /// Deletes `key` in the bucket that events come from, and then delivers the event: the watcher's `on_delete`. The key need not be
    /// set.
    ///
    /// # Panics
    ///
    /// See [`set`](Self::set).
    #[track_caller]
    pub fn delete(&mut self, key: impl AsRef<str>) -> Outcome {
        let key = key.as_ref();
        self.store.remove(self.host.borrow().event_bucket(), key);
        let outcome = self.deliver_delete(key);
        self.feed_changes(outcome, self.feed)
    }

    #[track_caller]
    fn deliver_delete(&mut self, key: &str) -> Outcome {
        let given = self.host.borrow_mut().begin_delete();
        let bucket = Bucket::adopt(self.entered.raw(given));
        self.deliver(Operation::Delete, key, |watcher| deliver_delete(watcher, bucket, key))
    }

    /// Delivers an event: [`set`](Self::set) or [`delete`](Self::delete).
    ///
    /// # Panics
    ///
    /// If the watcher leaked or misused a handle, unless the host [tolerates](Self::tolerate) it.
    #[track_caller]
    pub fn event(&mut self, event: &Event) -> Outcome {
        match &event.change {
            Change::Set(content) => self.set(&event.key, content),
            Change::Delete => self.delete(&event.key),
        }
    }

    /// Delivers the events that a file records, as `kvwatch run` does.
    ///
    /// # Errors
    ///
    /// If the file cannot be opened, or a line of it is not an event. The watcher gets no event then.
    ///
    /// # Panics
    ///
    /// If the watcher leaked or misused a handle, unless the host [tolerates](Self::tolerate) it.
    #[track_caller]
    pub fn replay(&mut self, path: impl AsRef<Path>) -> Result<Vec<Outcome>, ReplayError> {
        let events = replay::recorded(path.as_ref())?;
        Ok(events.iter().map(|event| self.event(event)).collect())
    }

    /// Delivers the changes that the watcher made to its own bucket, and the changes that it makes then, up to `depth` times in a row.
    #[track_caller]
    fn feed_changes(&mut self, mut outcome: Outcome, depth: u32) -> Outcome {
        if self.feed == 0 {
            return outcome;
        }
        let own: Vec<_> = {
            let host = self.host.borrow();
            outcome.changes.iter().filter(|change| change.bucket == host.event_bucket()).cloned().collect()
        };
        if depth == 0 {
            if let (Some(change), false) = (own.first(), self.tolerant) {
                panic!(
                    "the watcher still changes keys that it watches after its own changes came back {} times in a row: {:?} is one. \
                     It may be a loop. Let the watcher pass over what it wrote, or let it write to another bucket",
                    self.feed, change.key
                );
            }
            return outcome;
        }
        for change in own {
            let fed = match change.content {
                Some(content) => self.deliver_set(&change.key, &content.into()),
                None => self.deliver_delete(&change.key),
            };
            outcome.fed.push(self.feed_changes(fed, depth - 1));
        }
        outcome
    }

    #[track_caller]
    fn deliver<'a>(
        &mut self,
        operation: Operation,
        key: &str,
        event: impl FnOnce(&mut W) -> Result<(), Failure<'a>>,
    ) -> Outcome {
        if self.host.borrow().personality().instance == Instance::PerEvent {
            self.fresh_instance();
        }
        let (init, watcher) = (&mut self.init, &mut self.watcher);
        let mut noted = None;
        let (caught, error) = self.entered.run(|| {
            let watcher = watcher.get_or_insert_with(init);
            if let Err(failure) = event(watcher) {
                noted = Some(failure.to_string());
                watcher.on_error(failure);
            }
        });
        let trapped = caught.is_err();
        let ending = match caught {
            Ok(()) => noted.map_or(Ending::Handled, Ending::Noted),
            Err(Unwound::Trapped(message)) => Ending::Trapped(message),
            Err(Unwound::Panicked(payload)) => {
                Ending::Panicked(format!("{operation} of {key:?} panicked: {}", panic_text(&*payload)))
            }
        };
        if trapped {
            // A trap ends the instance. No code of the guest runs after it.
            self.host.borrow_mut().set_trapped();
            self.watcher = None;
        }
        let mut host = self.host.borrow_mut();
        let outcome = Outcome {
            ending,
            values: host.values().to_vec(),
            changes: host.take_changes().into_iter().map(StoreChange::new).collect(),
            fed: Vec::new(),
            calls: host.calls(),
            error: error.map(HandlerError::new),
            violations: if trapped { host.end_trapped() } else { host.end() },
        };
        drop(host);
        if !self.tolerant && !outcome.violations.is_empty() {
            let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
            panic!("{operation} of {key:?} is not clean:\n  {}", violations.join("\n  "));
        }
        outcome
    }

    /// Drops the watcher. The next event gets a fresh one, as on a host that makes an instance for each event.
    pub fn fresh_instance(&mut self) {
        self.watcher = None;
    }
}

impl<W, F> TestHost<W, F> {
    /// Lets the test decide about violations. They are in [`Outcome::violations`], and do not fail the test.
    pub fn tolerate(&mut self) -> &mut Self {
        self.tolerant = true;
        self
    }

    /// The watcher as the last event left it. `None` before the first event and after a trap.
    #[must_use]
    pub fn watcher(&self) -> Option<&W> {
        self.watcher.as_ref()
    }

    /// Lets only these buckets be opened. Unless this is called, every name has a bucket.
    pub fn buckets<I: IntoIterator<Item: Into<String>>>(&mut self, names: I) -> &mut Self {
        self.host.borrow_mut().set_buckets(names);
        self
    }

    /// Makes a payload outside an event, for a function that takes one.
    pub fn payload<C>(&mut self, content: impl IntoContent<C>) -> Payload {
        let given = self.host.borrow_mut().make_payload(content.into_content());
        Payload::adopt(self.entered.raw(given))
    }

    /// Makes the bucket of an event outside an event, for a function that takes one.
    pub fn event_bucket(&mut self) -> Bucket {
        let given = self.host.borrow_mut().make_bucket();
        Bucket::adopt(self.entered.raw(given))
    }

    /// A bucket of the store behind the host, for the test to fill and to look into.
    ///
    /// ```
    /// # use inbound_keyvalue::{HandleWatch, handle_watch};
    /// # #[handle_watch]
    /// # #[derive(Default)]
    /// # struct Quiet;
    /// # impl HandleWatch for Quiet {}
    /// use inbound_keyvalue::testing::TestHost;
    ///
    /// let mut host = TestHost::<Quiet>::new();
    /// host.set("motd", "hello").expect_handled();
    /// assert_eq!(host.bucket("watched").text("motd").as_deref(), Some("hello"));
    /// ```
    #[must_use]
    pub fn bucket(&self, name: impl AsRef<str>) -> StoredBucket {
        StoredBucket::new(self.store.clone(), name.as_ref())
    }

    /// Names the bucket that events come from. It is `watched` unless this is called.
    pub fn watching(&mut self, name: impl Into<String>) -> &mut Self {
        self.host.borrow_mut().set_event_bucket(name.into());
        self
    }

    /// Refuses the next call of a function that acts on the store, with this reason. `get-keys` has no error in the draft: it traps.
    ///
    /// ```
    /// # use inbound_keyvalue::{HandleWatch, handle_watch};
    /// # #[handle_watch]
    /// # #[derive(Default)]
    /// # struct Quiet;
    /// # impl HandleWatch for Quiet {}
    /// use inbound_keyvalue::StoreCall;
    /// use inbound_keyvalue::testing::TestHost;
    ///
    /// let mut host = TestHost::<Quiet>::new();
    /// // The draft's text says that `exists` fails for a key that is not set.
    /// host.refuse_next(StoreCall::Exists, "there is no such key");
    /// ```
    pub fn refuse_next(&mut self, call: StoreCall, reason: impl Into<String>) -> &mut Self {
        let call = match call {
            StoreCall::Get => store::StoreCall::Get,
            StoreCall::Set => store::StoreCall::Set,
            StoreCall::Delete => store::StoreCall::Delete,
            StoreCall::Exists => store::StoreCall::Exists,
            StoreCall::Increment => store::StoreCall::Increment,
            StoreCall::CompareAndSwap => store::StoreCall::CompareAndSwap,
            StoreCall::GetMany => store::StoreCall::GetMany,
            StoreCall::GetKeys => store::StoreCall::GetKeys,
            StoreCall::SetMany => store::StoreCall::SetMany,
            StoreCall::DeleteMany => store::StoreCall::DeleteMany,
        };
        self.refusals.refuse_next(call, reason);
        self
    }

    /// Delivers the changes that a watcher makes to its own bucket as events. Redis does this too, because it cannot tell who
    /// wrote a key. The changes that the watcher makes then are delivered too, up to `depth` times in a row. [`Outcome::fed`] has
    /// their outcomes. The default is 0: the watcher's own changes cause no events.
    pub fn feed(&mut self, depth: u32) -> &mut Self {
        self.feed = depth;
        self
    }

    /// Forgets all handles that were made outside events. Returns their violations. A handle that is still alive is a leak.
    pub fn settle(&mut self) -> Vec<Violation> {
        self.host.borrow_mut().end()
    }

    /// The host itself, to read. While the test holds it, no other call reaches the host.
    #[must_use]
    pub fn host(&self) -> impl Deref<Target = Host> + '_ {
        self.host.borrow()
    }

    /// The host itself, to change. While the test holds it, no other call reaches the host.
    pub fn host_mut(&mut self) -> impl DerefMut<Target = Host> + '_ {
        self.host.borrow_mut()
    }
}

impl<W: Registered> Default for TestHost<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: fmt::Debug, F> fmt::Debug for TestHost<W, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestHost").field("watcher", &self.watcher).field("host", &self.host).finish_non_exhaustive()
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with something that is not text")
}
