use std::fmt;
use std::io;

use crate::handle::{ErrorResource, Handle};
use crate::sys::{Raw, types};

pub(crate) mod store;
mod text;

use store::StoreError;

/// An error in a call between a watcher and its host.
///
/// An `Error` owns everything that it reports: the host's error handle is read and dropped when the error is made.
///
/// It converts into an [`io::Error`] with the [`kind`](io::Error::kind) that [`Error::kind`] returns. The `Error` is inside the
/// `io::Error`: [`get_ref`](io::Error::get_ref) shows it, and [`downcast`](io::Error::downcast) returns it. It is not the
/// [`source`](std::error::Error::source) of the `io::Error`, because both have the same message, and a printed chain would repeat it.
///
/// ```
/// use inbound_keyvalue::{Error, Payload};
///
/// fn text(payload: Payload) -> Result<String, Error> {
///     match payload.into_string() {
///         // Old clients wrote Latin-1.
///         Err(Error::Utf8 { bytes, .. }) => Ok(bytes.iter().map(|&byte| char::from(byte)).collect()),
///         result => result,
///     }
/// }
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host refused a call and gave a reason: the draft's `error`.
    #[non_exhaustive]
    Host {
        /// The call that was refused.
        call: Call,
        /// The host's reason, in its own words. It may be empty.
        trace: String,
    },

    /// `value-write-body` failed: the value has no body to write to. In the draft this failure has no reason.
    BodyUnavailable,

    /// [`Value::finish`](crate::Value::finish) has ended the value. Nothing more can be written to it.
    Finished,

    /// The draft's `stream-error`, which carries no reason. The stream cannot be used again.
    #[non_exhaustive]
    Stream {
        /// The call that failed.
        call: Call,
    },

    /// The host answered with more than the guest asked for, which the draft forbids. The stream cannot be used again.
    #[non_exhaustive]
    Excess {
        /// The call that the host answered.
        call: Call,
        /// Bytes asked for.
        asked: u64,
        /// Bytes in the answer.
        answered: u64,
    },

    /// The stream has neither data nor an end yet, and the draft has no way to wait. The same call may be made again.
    #[non_exhaustive]
    NotReady {
        /// The call that brought nothing.
        call: Call,
        /// The number of times in a row that the call was made.
        attempts: u32,
    },

    /// The stream takes no more bytes for now, and the draft has no way to wait. The same call may be made again.
    #[non_exhaustive]
    WriteZero {
        /// The call that took nothing.
        call: Call,
        /// The number of times in a row that the call was made.
        attempts: u32,
    },

    /// The payload is larger than the limit that the author set with [`Payload::limit`](crate::Payload::limit).
    #[non_exhaustive]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
        /// The size of the payload in bytes, as the host says. It is a hint and may be wrong. `None` if reading had begun before
        /// the limit was set, because then the draft does not allow the question.
        size: Option<u64>,
    },

    /// The payload is not text.
    #[non_exhaustive]
    Utf8 {
        /// The position of the first byte that is not UTF-8, counted from 0. The bytes before it are UTF-8.
        position: usize,
        /// The payload.
        bytes: Vec<u8>,
    },

    /// A call on the keys of a bucket failed. Only the calls of the feature `outbound` fail with it.
    Store(StoreError),

    /// The payload is not the JSON that was asked for.
    #[cfg(feature = "json")]
    #[non_exhaustive]
    Json {
        /// The fault, with line and column. It is part of the message, and so it is not the source.
        error: serde_json::Error,
        /// The payload.
        bytes: Vec<u8>,
    },
}

impl Error {
    /// The error for a refused `call`. `raw` is the host's error handle.
    #[cold]
    pub(crate) fn from_host(call: Call, raw: Raw) -> Self {
        Self::Host { call, trace: take_trace(raw) }
    }

    /// The [`io::ErrorKind`] that stands for this error in [`io::Error`].
    ///
    /// ```
    /// # use inbound_keyvalue::Error;
    /// fn worth_another_try(error: &Error) -> bool {
    ///     matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::WriteZero)
    /// }
    /// ```
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NotReady { .. } => io::ErrorKind::WouldBlock,
            Self::WriteZero { .. } => io::ErrorKind::WriteZero,
            Self::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Self::Excess { .. } | Self::Utf8 { .. } => io::ErrorKind::InvalidData,
            #[cfg(feature = "json")]
            Self::Json { .. } => io::ErrorKind::InvalidData,
            Self::Finished => io::ErrorKind::BrokenPipe,
            Self::Host { .. } | Self::BodyUnavailable | Self::Store(_) | Self::Stream { .. } => io::ErrorKind::Other,
        }
    }
}

/// The message, as `unwrap` shows it. A derived `Debug` would make every watcher with an error larger by some kilobytes.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Error> for io::Error {
    #[cold]
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// Reads and drops the host's error.
#[cold]
pub(crate) fn take_trace(raw: Raw) -> String {
    types::trace(Handle::<ErrorResource>::new(raw).as_raw())
}

pub(crate) fn reason(trace: &str) -> &str {
    if trace.is_empty() { "it gave no reason" } else { trace }
}

/// A function of the draft, as an [`Error`] names it. Its `Display` is the draft's own name.
///
/// ```
/// assert_eq!(inbound_keyvalue::Call::OpenBucket.to_string(), "open-bucket");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `open-bucket`
    OpenBucket,
    /// `payload-consume-sync`
    PayloadConsumeSync,
    /// `payload-consume-async`
    PayloadConsumeAsync,
    /// `read`
    Read,
    /// `skip`
    Skip,
    /// `write`
    Write,
    /// `write-repeated`
    WriteRepeated,
    /// `splice`
    Splice,
    /// `forward`
    Forward,
}

impl Call {
    /// The draft's name.
    const fn as_str(self) -> &'static str {
        match self {
            Self::OpenBucket => "open-bucket",
            Self::PayloadConsumeSync => "payload-consume-sync",
            Self::PayloadConsumeAsync => "payload-consume-async",
            Self::Read => "read",
            Self::Skip => "skip",
            Self::Write => "write",
            Self::WriteRepeated => "write-repeated",
            Self::Splice => "splice",
            Self::Forward => "forward",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
