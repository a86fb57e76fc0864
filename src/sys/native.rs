//! The draft's functions as the SDK's types call them natively: on the test hosts of this thread.
//!
//! Several hosts can be alive on one thread, and each numbers its handles as its personality says. So equal numbers can be handles
//! of two hosts. A [`Raw`] therefore names its host as well, and a call with a handle goes to that host. A call without a
//! handle, and a handle that is made from a bare number, go to the host whose event is running. Outside events they go to the
//! host that was made last.

#[cfg(feature = "outbound")]
pub(super) mod outbound;
mod report;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe, Location};
use std::rc::Rc;
use std::thread;

use inbound_keyvalue_host::{CallResult, Host};

pub(crate) use report::Reported;

/// A test host, which the code of its thread can call.
pub(crate) type Shared = Rc<RefCell<Host>>;

/// The number of a host in its thread. A thread uses no number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostId(u32);

/// No host has this number.
const NO_HOST: HostId = HostId(0);

/// A handle as the SDK's types keep it: its number, and the host that made it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    number: u32,
    host: HostId,
}

impl Raw {
    /// The answer when no guest code runs any more. A call with it finds no host.
    const NONE: Self = Self { number: 0, host: NO_HOST };
}

/// The draft's number of a handle.
pub(crate) fn number_of(raw: Raw) -> u32 {
    raw.number
}

/// The handle that has this number on the host that a call without a handle goes to.
pub(crate) fn raw_of(number: u32) -> Raw {
    Raw { number, host: default_host() }
}

thread_local! {
    /// The hosts of this thread that are alive, in the order in which they were made.
    static HOSTS: RefCell<Vec<(HostId, Shared)>> = const { RefCell::new(Vec::new()) };
    /// The number of hosts that this thread has made.
    static MADE: Cell<u32> = const { Cell::new(0) };
    /// The host whose event is running.
    static RUNNING: Cell<Option<HostId>> = const { Cell::new(None) };
}

/// The host that a call without a handle goes to.
fn default_host() -> HostId {
    let last_made = || HOSTS.try_with(|hosts| hosts.borrow().last().map(|(id, _)| *id)).ok().flatten();
    RUNNING.get().or_else(last_made).unwrap_or(NO_HOST)
}

/// The code of this thread can call the host until this is dropped.
pub(crate) struct Entered(HostId);

impl Entered {
    pub(crate) fn new(host: &Shared) -> Self {
        let id = HostId(MADE.get() + 1);
        MADE.set(id.0);
        HOSTS.with_borrow_mut(|hosts| hosts.push((id, Rc::clone(host))));
        Self(id)
    }

    /// The handle that has this number on this host.
    pub(crate) fn raw(&self, number: u32) -> Raw {
        Raw { number, host: self.0 }
    }

    /// Runs the code of one event. A trap in it ends only the event. Returns the error of the handler too, if there was one.
    pub(crate) fn run(&self, event: impl FnOnce()) -> (Result<(), Unwound>, Option<Box<dyn StdError>>) {
        let outer = RUNNING.replace(Some(self.0));
        let (unwound, error) = report::collect(|| panic::catch_unwind(AssertUnwindSafe(event)));
        RUNNING.set(outer);
        let ended = unwound.map_err(|payload| match payload.downcast::<Trapped>() {
            Ok(trapped) => Unwound::Trapped(trapped.0),
            Err(payload) => Unwound::Panicked(payload),
        });
        (ended, error)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The thread may be ending, and its hosts gone. The host itself is freed after the borrow.
        let _host = HOSTS.try_with(|hosts| {
            let mut hosts = hosts.borrow_mut();
            hosts.iter().rposition(|(id, _)| *id == self.0).map(|at| hosts.remove(at))
        });
    }
}

/// The panic payload of a native trap.
struct Trapped(String);

/// How the code of an event ended early.
pub(crate) enum Unwound {
    Trapped(String),
    Panicked(Box<dyn Any + Send>),
}

/// Ends the event, or the test if there is no event.
#[cold]
#[track_caller]
fn end(message: String) -> ! {
    if RUNNING.get().is_some() {
        panic::resume_unwind(Box::new(Trapped(message)))
    }
    panic!("the host trapped: {message}")
}

/// Makes a call to the host of `id`.
///
/// `nothing` is the answer when the code of a guest would not run any more: a guest drops nothing after a trap or a panic, but
/// native code unwinds. A `Drop` never panics (O9). So a drop also gets this answer if its host is gone, or lent to the test.
#[track_caller]
fn call<T>(function: &str, id: HostId, nothing: T, call: impl FnOnce(&mut Host) -> CallResult<T>) -> T {
    let caller = Location::caller();
    let is_drop = function.starts_with("drop_");
    let unwinding = thread::panicking();
    let find = |hosts: &RefCell<Vec<(HostId, Shared)>>| {
        hosts.borrow().iter().rev().find(|(other, _)| *other == id).map(|(_, host)| Rc::clone(host))
    };
    let Some(host) = HOSTS.try_with(find).ok().flatten() else {
        if unwinding || is_drop {
            return nothing;
        }
        panic!(
            "`{function}` was called where there is no host: make a `testing::TestHost` first, and let it live longer than \
             what it gave"
        );
    };
    let outcome = {
        let Ok(mut host) = host.try_borrow_mut() else {
            if unwinding || is_drop {
                return nothing;
            }
            panic!("`{function}` was called while the test holds what `TestHost::host` or `host_mut` gave");
        };
        let running = RUNNING.get();
        // A panic in the event of another host is not a trap of this host.
        if unwinding && running.is_none_or(|running| running == id) {
            host.set_trapped();
        }
        if host.trapped() {
            if unwinding || is_drop || running == Some(id) {
                return nothing;
            }
            panic!("`{function}` was called after the host trapped: call `TestHost::settle` before it is used again");
        }
        host.set_caller(caller);
        call(&mut host)
    };
    match outcome {
        Ok(result) => result,
        // A second panic would abort the process, and outside an event a `Drop` must not panic. The host has noted the violation.
        Err(_) if unwinding || (is_drop && RUNNING.get().is_none()) => nothing,
        Err(trap) => end(trap.to_string()),
    }
}

/// The host of two handles. A host knows only its own.
#[track_caller]
fn common(function: &str, one: Raw, other: Raw) -> HostId {
    if one.host != other.host && !thread::panicking() {
        end(format!("`{function}` was called with the handles of two test hosts"));
    }
    one.host
}

macro_rules! calls {
    ($(fn $name:ident($first:ident: Raw $(, $second:ident: Raw)?; $($parameter:ident: $type:ty),*) $(-> $result:ty)? = $nothing:expr;)*) => {
        $(
            #[track_caller]
            pub(crate) fn $name($first: Raw, $($second: Raw,)? $($parameter: $type),*) $(-> $result)? {
                let host = $first.host;
                $(let host = { let _ = host; super::common(stringify!($name), $first, $second) };)?
                super::call(stringify!($name), host, $nothing, |host| {
                    host.$name($first.number, $($second.number,)? $($parameter),*)
                })
            }
        )*
    };
}

pub(crate) mod wasi_io {
    use core::mem::MaybeUninit;

    pub(crate) use inbound_keyvalue_host::StreamError;

    use super::Raw;
    use crate::sys::draft;

    draft::wasi_io!(calls);

    /// `read`, with the list's bytes in `buf` if they fit.
    #[track_caller]
    pub(crate) fn read_into(src: Raw, buf: &mut [MaybeUninit<u8>]) -> Result<(usize, bool), StreamError> {
        let (data, end) = read(src, buf.len() as u64)?;
        if let Some(room) = buf.get_mut(..data.len()) {
            for (to, from) in room.iter_mut().zip(&data) {
                to.write(*from);
            }
        }
        Ok((data.len(), end))
    }

    /// `read`, with the list's bytes at the start of `memory`. If they do not fit, `memory` becomes the list's own.
    #[track_caller]
    pub(crate) fn read_to(src: Raw, len: u64, memory: &mut Box<[u8]>) -> Result<(usize, bool), StreamError> {
        let (data, end) = read(src, len)?;
        let len = data.len();
        match memory.get_mut(..len) {
            Some(room) => room.copy_from_slice(&data),
            None => *memory = data.into_boxed_slice(),
        }
        Ok((len, end))
    }
}

pub(crate) mod types {
    use std::sync::Arc;

    use super::{Raw, call, default_host};
    use crate::sys::draft;

    draft::types!(calls);

    #[track_caller]
    pub(crate) fn open_bucket(name: &str) -> Result<Raw, Raw> {
        let id = default_host();
        call("open_bucket", id, Ok(Raw::NONE), |host| {
            let opened = host.open_bucket(name)?;
            Ok(opened.map(|number| Raw { number, host: id }).map_err(|number| Raw { number, host: id }))
        })
    }

    #[track_caller]
    pub(crate) fn new_value() -> Raw {
        let id = default_host();
        call("new_value", id, Raw::NONE, |host| Ok(Raw { number: host.new_value()?, host: id }))
    }

    #[track_caller]
    pub(crate) fn value_write_body(value: Raw) -> Result<Raw, ()> {
        call("value_write_body", value.host, Err(()), |host| {
            Ok(host.value_write_body(value.number)?.map(|number| Raw { number, ..value }))
        })
    }

    #[track_caller]
    pub(crate) fn payload_consume_sync(payload: Raw) -> Result<Vec<u8>, Raw> {
        // The host may share the bytes of its answer with its store. They are copied only then, after the call.
        call("payload_consume_sync", payload.host, Ok(Arc::default()), |host| {
            Ok(host.payload_consume_sync(payload.number)?.map_err(|number| Raw { number, ..payload }))
        })
        .map(Arc::unwrap_or_clone)
    }

    /// The same, with the list as a box.
    #[track_caller]
    pub(crate) fn payload_consume_boxed(payload: Raw) -> Result<Box<[u8]>, Raw> {
        payload_consume_sync(payload).map(Vec::into_boxed_slice)
    }

    #[track_caller]
    pub(crate) fn payload_consume_async(payload: Raw) -> Result<Raw, Raw> {
        call("payload_consume_async", payload.host, Ok(Raw::NONE), |host| {
            let consumed = host.payload_consume_async(payload.number)?;
            Ok(consumed.map(|number| Raw { number, ..payload }).map_err(|number| Raw { number, ..payload }))
        })
    }
}

/// Ends the event, as a trap does in a component.
#[cold]
#[track_caller]
pub(crate) fn trap(message: &impl Display) -> ! {
    end(message.to_string())
}
