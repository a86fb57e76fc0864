//! The draft's functions as the wrappers call them natively: on the test host of this thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe, Location};
use std::rc::Rc;
use std::thread;

use inbound_keyvalue_host::{Called, Host};

/// A host that wrappers can be handed out by.
pub(super) type Shared = Rc<RefCell<Host>>;

thread_local! {
    /// The hosts of this thread; the last one answers.
    static HOSTS: RefCell<Vec<Shared>> = const { RefCell::new(Vec::new()) };
    /// Whether a watcher is handling an event, which a trap ends.
    static IN_EVENT: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, calls of this thread go to its host.
pub(super) struct Entered(Shared);

impl Entered {
    pub(super) fn new(host: &Shared) -> Self {
        HOSTS.with_borrow_mut(|hosts| hosts.push(Rc::clone(host)));
        Self(Rc::clone(host))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        HOSTS.with_borrow_mut(|hosts| {
            if let Some(at) = hosts.iter().rposition(|host| Rc::ptr_eq(host, &self.0)) {
                hosts.remove(at);
            }
        });
    }
}

/// What a native trap unwinds with.
pub(super) struct Trapped(String);

/// How the code of an event ended early.
pub(super) enum Unwound {
    Trapped(String),
    Panicked(Box<dyn Any + Send>),
}

/// Runs the code of one event. A trap in it ends it, and nothing else.
pub(super) fn catch(host: &Shared, event: impl FnOnce()) -> Result<(), Unwound> {
    let _entered = Entered::new(host);
    let outer = IN_EVENT.replace(true);
    let unwound = panic::catch_unwind(AssertUnwindSafe(event));
    IN_EVENT.set(outer);
    unwound.map_err(|payload| match payload.downcast::<Trapped>() {
        Ok(trapped) => Unwound::Trapped(trapped.0),
        Err(payload) => Unwound::Panicked(payload),
    })
}

/// Ends the event, or outside one the test.
#[cold]
#[track_caller]
fn end(message: String) -> ! {
    if IN_EVENT.get() {
        panic::resume_unwind(Box::new(Trapped(message)))
    }
    panic!("the host trapped: {message}")
}

/// Makes a call. `nothing` is the answer where guest code would not run any more: after a trap or a panic a real guest drops
/// nothing, and a native one unwinds.
#[track_caller]
fn call<T>(function: &str, nothing: T, call: impl FnOnce(&mut Host) -> Called<T>) -> T {
    let caller = Location::caller();
    let Some(host) = HOSTS.with_borrow(|hosts| hosts.last().cloned()) else {
        if thread::panicking() {
            return nothing;
        }
        panic!(
            "`{function}` was called where there is no host: make a `testing::TestHost` first, and let it live longer than \
             what it gave"
        );
    };
    let outcome = {
        let mut host = host.borrow_mut();
        if thread::panicking() {
            host.set_trapped();
        }
        if host.trapped() {
            return nothing;
        }
        host.set_caller(caller);
        call(&mut host)
    };
    match outcome {
        Ok(result) => result,
        Err(trap) => end(trap.to_string()),
    }
}

macro_rules! calls {
    ($(fn $name:ident($($parameter:ident: $type:ty),*) $(-> $result:ty)? = $nothing:expr;)*) => {
        $(
            #[track_caller]
            pub(crate) fn $name($($parameter: $type),*) $(-> $result)? {
                super::call(stringify!($name), $nothing, |host| host.$name($($parameter),*))
            }
        )*
    };
}

pub(crate) mod wasi_io {
    use core::mem::MaybeUninit;

    pub(crate) use inbound_keyvalue_host::StreamError;

    use crate::sys::draft;

    draft::wasi_io!(calls);

    /// `read`, with the list's bytes in `buf` where they fit.
    #[track_caller]
    pub(crate) fn read_into(src: u32, buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError> {
        let (data, end) = read(src, buf.len() as u64)?;
        if let Some(room) = buf.get_mut(..data.len()) {
            for (to, from) in room.iter_mut().zip(&data) {
                to.write(*from);
            }
        }
        Ok((data.len(), end))
    }

    /// `read`, with the list in `chunk`: in the memory that it has if that is enough, else in its own.
    #[track_caller]
    pub(crate) fn read_to(src: u32, len: u64, chunk: &mut Vec<u8>) -> Result<(usize, bool), StreamError> {
        let (data, end) = read(src, len)?;
        chunk.clear();
        if data.len() <= chunk.capacity() {
            chunk.extend_from_slice(&data);
        } else {
            *chunk = data;
        }
        Ok((chunk.len(), end))
    }
}

pub(crate) mod types {
    use crate::sys::draft;

    draft::types!(calls);

    #[track_caller]
    pub(crate) fn payload_consume_sync(payload: u32) -> Result<Vec<u8>, u32> {
        let consume = |host: &mut super::Host| host.payload_consume_sync(payload);
        super::call("payload_consume_sync", Ok([].into()), consume).map(|data| data.to_vec())
    }
}

/// Ends the event, as a trap does in a component.
#[cold]
#[track_caller]
pub(crate) fn trap(message: &impl Display) -> ! {
    end(message.to_string())
}
