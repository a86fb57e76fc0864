//! Decorators change the behaviour of a well-behaved host. The host does not know them.
//!
//! The host checks each call first: the handles, and the rules that the guest must keep. Then it passes the call to the outermost
//! decorator. A decorator answers the call, or passes it on to its [`Inner`] host. The innermost host behaves well. A host
//! without decorators calls the innermost functions directly.

use std::fmt;
use std::sync::Arc;

use super::object::Payload;
use super::{CallResult, Host, StreamError, StreamResult};
use crate::accounts::{HandleKind, Violation};
use crate::store::Store;

/// The inside of a decorator: the decorators within it, and the host.
#[derive(Debug)]
pub(crate) struct Inner<'a> {
    decorators: &'a mut [Box<dyn Decorator>],
    /// The host. A decorator reads facts about a handle from it.
    pub(crate) host: &'a mut Host,
}

/// One step of `splice` or `forward`, which `call` names: moves up to `len` bytes from `src` to `dst`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) call: &'static str,
    pub(crate) dst: u32,
    pub(crate) src: u32,
    pub(crate) len: u64,
}

/// Declares the functions that decorators can change, each with the function of the well-behaved host.
macro_rules! decorated {
    ($($(#[doc = $doc:literal])+ $name:ident, $innermost:ident($($parameter:ident: $type:ty),*) -> $answer:ty;)+) => {
        /// A change to the behaviour of a host. A function that a decorator does not define passes the call on.
        ///
        /// The handles of a call exist, except where the function says otherwise.
        pub(crate) trait Decorator: fmt::Debug + Send {
            $(
                $(#[doc = $doc])+
                fn $name(&mut self, inner: &mut Inner<'_>, $($parameter: $type),*) -> $answer {
                    inner.$name($($parameter),*)
                }
            )+

            /// The host tells every decorator that a handle does not exist any more, so that the decorator forgets it.
            fn gone(&mut self, kind: HandleKind, handle: u32) {
                let _ = (kind, handle);
            }

            /// Decorates the store behind the host.
            fn around_store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
                store
            }
        }

        impl Inner<'_> {
            $(
                // A host without decorators then only calls the innermost function.
                #[inline(always)]
                pub(crate) fn $name(&mut self, $($parameter: $type),*) -> $answer {
                    match self.decorators.split_last_mut() {
                        Some((outermost, decorators)) => {
                            outermost.$name(&mut Inner { decorators, host: self.host }, $($parameter),*)
                        }
                        None => self.host.$innermost($($parameter),*),
                    }
                }
            )+
        }
    };
}

decorated! {
    /// A call with a handle that does not exist: the host notes the violation and traps. After `Ok`, the call returns its failure,
    /// or nothing if it has none.
    bad_handle, trap_bad_handle(violation: Violation) -> CallResult<()>;

    /// `payload-consume-sync` or `payload-consume-async`, which `call` names: takes the payload from the guest. `Some(Err(_))` is the
    /// trace of an error. `None` if there is no such payload.
    consume, take_payload(call: &'static str, payload: u32) -> Option<Result<Payload, String>>;
    /// `size`. `None` if there is no such payload.
    size, payload_len(payload: u32) -> Option<u64>;
    /// `drop-payload`. `None` if there is no such payload.
    drop_payload, remove_handle_of_payload(payload: u32) -> Option<()>;
    /// `value-write-body`, for a value whose body was not opened before.
    value_write_body, open_body(value: u32) -> CallResult<Result<u32, ()>>;

    /// `read`
    read, read_input(src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError>;
    /// `skip`
    skip, skip_input(src: u32, len: u64) -> Result<(u64, bool), StreamError>;
    /// `write`
    write, write_output(dst: u32, buf: &[u8]) -> StreamResult<u64>;
    /// `write-repeated`
    write_repeated, repeat_in_output(dst: u32, byte: u8, len: u64) -> StreamResult<u64>;
    /// One step of `splice` or `forward`. Returns the number of bytes that it moved, and whether the source is at its end.
    transfer, move_bytes(step: Step) -> StreamResult<(u64, bool)>;
}

impl Host {
    /// Passes a call to the decorators and the well-behaved host within them.
    #[inline]
    pub(super) fn decorated<T>(&mut self, call: impl FnOnce(&mut Inner<'_>) -> T) -> T {
        if self.decorators.is_empty() {
            // The compiler sees that there are no decorators, and calls the function of the well-behaved host.
            return call(&mut Inner { decorators: &mut [], host: self });
        }
        self.with_decorators(call)
    }

    #[cold]
    fn with_decorators<T>(&mut self, call: impl FnOnce(&mut Inner<'_>) -> T) -> T {
        let mut decorators = std::mem::take(&mut self.decorators);
        let answer = call(&mut Inner { decorators: &mut decorators, host: self });
        self.decorators = decorators;
        answer
    }

    /// Tells the decorators that a handle does not exist any more.
    #[inline]
    pub(super) fn handle_gone(&mut self, kind: HandleKind, handle: u32) {
        for decorator in &mut self.decorators {
            decorator.gone(kind, handle);
        }
    }

    /// The store with the decorators around it.
    pub(super) fn decorated_store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        self.decorators.iter().fold(store, |store, decorator| decorator.around_store(store))
    }
}
