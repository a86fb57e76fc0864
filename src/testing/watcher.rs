use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io::BufReader;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::rc::Rc;

use inbound_keyvalue_host::{
    BadLine, Change, Event, Events, Host, Instance, IntoContent, Personality, Problem, Violation, Written, open_events,
};

use super::seam::{self, Entered, Shared, Unwound};
use crate::bucket::Bucket;
use crate::export::Registered;
use crate::payload::Payload;
use crate::watch::{Failure, HandleWatch, Operation, deliver_delete, deliver_set};

/// A host for one watcher, in the process of a native test.
///
/// It gives the watcher sets and deletes as a real host does, through the dispatch that the component's export uses. The
/// watcher is made, by its `Default` or `init`, when the first event comes, and kept until one traps.
///
/// After each event the host accounts for every handle: one that was leaked, dropped twice or misused fails the test, with its
/// kind and where it came from. [`tolerate`](Self::tolerate) leaves that to the test.
///
/// While a `TestHost` lives, what its thread does outside a watcher goes to it too: [`payload`](Self::payload) and
/// [`bucket`](Self::bucket) hand out what a function needs that is tested alone. Other threads do not see it.
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
pub struct TestHost<W> {
    host: Shared,
    init: Box<dyn FnMut() -> W>,
    watcher: Option<W>,
    tolerant: bool,
    _entered: Entered,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a watcher's failure is only known from here: call `expect_handled`"]
#[non_exhaustive]
pub struct Outcome {
    /// How the event ended.
    pub ending: Ending,
    /// What was done wrong with handles.
    pub violations: Vec<Violation>,
    /// What was written to each `Value` that the watcher made, in the order of their making.
    pub values: Vec<Written>,
    /// How many calls the watcher made to the host.
    pub calls: u64,
}

/// How an event ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The handler returned `Ok`.
    Handled,
    /// The handler returned an error, and the watcher's own `on_error` went on. The failure is as its `Display` says it.
    Noted(String),
    /// The event trapped: by [`Failure::trap`](crate::Failure::trap), or in a call to the host.
    Trapped(String),
    /// The handler panicked, which in a component is a trap.
    Panicked(String),
}

impl Outcome {
    /// Whether the handler returned `Ok`.
    #[must_use]
    pub fn is_handled(&self) -> bool {
        self.ending == Ending::Handled
    }

    /// Fails the test unless the handler returned `Ok`.
    ///
    /// # Panics
    ///
    /// With the failure, unless the event was handled.
    #[track_caller]
    pub fn expect_handled(&self) {
        assert!(self.is_handled(), "the event was not handled: {}", self.ending);
    }

    /// Fails the test unless the handler failed, and gives the failure: the text of the trap, of the panic, or of what
    /// `on_error` noted.
    ///
    /// # Panics
    ///
    /// When the event was handled.
    #[track_caller]
    #[must_use]
    pub fn expect_failure(self) -> String {
        match self.ending {
            Ending::Handled => panic!("the event was handled, and should have failed"),
            Ending::Noted(failure) | Ending::Trapped(failure) | Ending::Panicked(failure) => failure,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handled => f.write_str("handled"),
            Self::Noted(failure) => write!(f, "noted by on_error: {failure}"),
            Self::Trapped(failure) => write!(f, "trapped: {failure}"),
            Self::Panicked(failure) => write!(f, "panicked: {failure}"),
        }
    }
}

impl<W: Registered> TestHost<W> {
    /// A host that does all that a watcher could wish.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Personality::default())
    }

    /// A host that deviates.
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
        Self::with_watcher(personality, W::init)
    }
}

impl<W: HandleWatch> TestHost<W> {
    /// A host whose watcher is made otherwise than the component's: one of several variants, or one that is not registered.
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
    #[must_use]
    pub fn with_watcher(personality: Personality, init: impl FnMut() -> W + 'static) -> Self {
        let host = Rc::new(RefCell::new(Host::new(personality)));
        Self { _entered: Entered::new(&host), host, init: Box::new(init), watcher: None, tolerant: false }
    }

    /// Sets `key`: the watcher's `on_set`.
    ///
    /// # Panics
    ///
    /// When the watcher leaked or misused a handle, unless [tolerated](Self::tolerate).
    #[track_caller]
    pub fn set(&mut self, key: impl AsRef<str>, content: impl IntoContent) -> Outcome {
        let key = key.as_ref();
        let given = self.host.borrow_mut().begin_set(&content.into_content());
        let (bucket, payload) = (Bucket::adopt(given.bucket), Payload::adopt(given.payload));
        self.deliver(Operation::Set, key, |watcher| deliver_set(watcher, bucket, key, payload))
    }

    /// Deletes `key`: the watcher's `on_delete`.
    ///
    /// # Panics
    ///
    /// When the watcher leaked or misused a handle, unless [tolerated](Self::tolerate).
    #[track_caller]
    pub fn delete(&mut self, key: impl AsRef<str>) -> Outcome {
        let key = key.as_ref();
        let bucket = Bucket::adopt(self.host.borrow_mut().begin_delete());
        self.deliver(Operation::Delete, key, |watcher| deliver_delete(watcher, bucket, key))
    }

    /// Gives the watcher an event.
    ///
    /// # Panics
    ///
    /// When the watcher leaked or misused a handle, unless [tolerated](Self::tolerate).
    #[track_caller]
    pub fn event(&mut self, event: &Event) -> Outcome {
        match &event.change {
            Change::Set(content) => self.set(&event.key, content),
            Change::Delete => self.delete(&event.key),
        }
    }

    /// Gives the watcher the events recorded in a file, as `kvwatch run` does.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or a line of it is no event; no event is given to the watcher then.
    ///
    /// # Panics
    ///
    /// When the watcher leaked or misused a handle, unless [tolerated](Self::tolerate).
    #[track_caller]
    pub fn replay(&mut self, path: impl AsRef<Path>) -> Result<Vec<Outcome>, BadLine> {
        let file = open_events(&path).map_err(|error| BadLine { line: 0, problem: Problem::Io(error) })?;
        let events = Events::new(BufReader::new(file)).files_in(path.as_ref().parent().unwrap_or(Path::new("")));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        Ok(events.iter().map(|event| self.event(event)).collect())
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
        let caught = seam::catch(&self.host, || {
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
            // A trap takes the instance with it, and no code of the guest's runs after it.
            self.host.borrow_mut().set_trapped();
            self.watcher = None;
        }
        let mut host = self.host.borrow_mut();
        let outcome = Outcome {
            ending,
            values: host.values().to_vec(),
            calls: host.calls(),
            violations: if trapped { host.end_trapped() } else { host.end() },
        };
        drop(host);
        if !self.tolerant && !outcome.violations.is_empty() {
            let violations: Vec<String> = outcome.violations.iter().map(ToString::to_string).collect();
            panic!("{operation} of {key:?} is not clean:\n  {}", violations.join("\n  "));
        }
        outcome
    }

    /// Drops the watcher: the next event goes to a fresh one, as on a host that makes an instance an event.
    pub fn fresh_instance(&mut self) {
        self.watcher = None;
    }
}

impl<W> TestHost<W> {
    /// Leaves violations to the test: they are in [`Outcome::violations`], and fail nothing by themselves.
    pub fn tolerate(&mut self) -> &mut Self {
        self.tolerant = true;
        self
    }

    /// The watcher, as the last event left it; `None` before the first event and after a trap.
    #[must_use]
    pub fn watcher(&self) -> Option<&W> {
        self.watcher.as_ref()
    }

    /// Lets only these buckets be opened. Unless this is called, every name has a bucket.
    pub fn buckets<I: IntoIterator<Item: Into<String>>>(&mut self, names: I) -> &mut Self {
        self.host.borrow_mut().set_buckets(names);
        self
    }

    /// A payload outside an event, for code that takes one.
    pub fn payload(&mut self, content: impl IntoContent) -> Payload {
        Payload::adopt(self.host.borrow_mut().give_payload(content.into_content()))
    }

    /// A bucket outside an event, for code that takes one.
    pub fn bucket(&mut self) -> Bucket {
        Bucket::adopt(self.host.borrow_mut().begin_delete())
    }

    /// Ends what was done outside an event, and tells what was done wrong with handles.
    pub fn settle(&mut self) -> Vec<Violation> {
        self.host.borrow_mut().end()
    }

    /// The host itself.
    #[must_use]
    pub fn host(&self) -> impl Deref<Target = Host> + '_ {
        self.host.borrow()
    }

    /// The host itself.
    pub fn host_mut(&mut self) -> impl DerefMut<Target = Host> + '_ {
        self.host.borrow_mut()
    }
}

impl<W: Registered> Default for TestHost<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W: fmt::Debug> fmt::Debug for TestHost<W> {
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
