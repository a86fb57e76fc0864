//! The draft's two streams, and the rules that both keep.
//!
//! Every call on a stream goes through [`attempt`]: it repeats a call that brings nothing, and checks the answer.

mod buffer;
mod chunks;
mod host_stream;
mod input;
mod output;
mod transfer;

pub use chunks::{Chunks, IntoChunks};
pub use input::InputStream;
pub use output::OutputStream;

use bytes::Bytes;

use crate::error::{Call, Error};
use crate::sys::wasi_io::StreamError;

/// The most bytes that one read asks the host for: 64 KiB.
///
/// The draft lets a guest ask for any length, and some hosts allocate as much as the guest asks for.
pub const MAX_READ: usize = 64 * 1024;

/// The number of times in a row that the SDK makes a call while the host answers with nothing: 32.
///
/// A read that brings neither data nor the end is repeated. It fails with [`Error::NotReady`]
/// ([`WouldBlock`](std::io::ErrorKind::WouldBlock)) after this number of attempts. A write of which the host takes no byte is repeated
/// too. It fails with [`Error::WriteZero`] ([`WriteZero`](std::io::ErrorKind::WriteZero)). The draft has no way to wait, so this
/// bounds calls and not time. After any progress the count starts again.
pub const MAX_ATTEMPTS: u32 = 32;

/// A list of the host, a box or a `Vec`, as `Bytes`, without a copy.
///
/// With the feature `small-allocator` the `Bytes` has an owner of its own. This costs one more allocation, which is cheap there, and
/// links only one of the five kinds of `Bytes`, which saves 3 kB.
#[inline]
pub(crate) fn shared(list: impl Into<Bytes> + AsRef<[u8]> + Send + 'static) -> Bytes {
    if cfg!(all(target_family = "wasm", feature = "small-allocator")) { Bytes::from_owner(list) } else { list.into() }
}

/// Why a call on a stream failed. It is `Copy`, so a stream can report it again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Stream(Call),
    Excess { call: Call, asked: u64, answered: u64 },
    TooLarge { limit: usize, size: Option<u64> },
    NotReady(Call),
    WriteZero(Call),
}

impl Fault {
    /// Whether the host's stream has failed, or broke a promise. Such a stream is never used again.
    #[inline]
    fn is_of_the_host(self) -> bool {
        matches!(self, Self::Stream(_) | Self::Excess { .. })
    }

    /// Whether the same call may be made again.
    #[inline]
    fn may_pass(self) -> bool {
        matches!(self, Self::NotReady(_) | Self::WriteZero(_))
    }
}

impl From<Fault> for Error {
    #[cold]
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Stream(call) => Self::Stream { call },
            Fault::Excess { call, asked, answered } => Self::Excess { call, asked, answered },
            Fault::TooLarge { limit, size } => Self::TooLarge { limit, size },
            Fault::NotReady(call) => Self::NotReady { call, attempts: MAX_ATTEMPTS },
            Fault::WriteZero(call) => Self::WriteZero { call, attempts: MAX_ATTEMPTS },
        }
    }
}

/// The number of bytes of an answer of the host.
trait Length {
    fn length(&self) -> u64;
}

impl Length for Option<Vec<u8>> {
    #[inline]
    fn length(&self) -> u64 {
        self.as_ref().map_or(0, |list| list.len() as u64)
    }
}

impl Length for usize {
    #[inline]
    fn length(&self) -> u64 {
        *self as u64
    }
}

impl Length for u64 {
    #[inline]
    fn length(&self) -> u64 {
        *self
    }
}

/// Makes a call about `asked` bytes until it makes progress, at most [`MAX_ATTEMPTS`] times. The answer has a flag for the end
/// of the source, which is progress too. Without progress the fault is `nothing`.
#[inline]
fn attempt<T: Length>(
    call: Call,
    asked: u64,
    nothing: Fault,
    mut answer: impl FnMut() -> Result<(T, bool), StreamError>,
) -> Result<(T, bool), Fault> {
    for _ in 0..MAX_ATTEMPTS {
        let Ok((data, end)) = answer() else { return Err(Fault::Stream(call)) };
        let answered = data.length();
        if answered > asked {
            return Err(Fault::Excess { call, asked, answered });
        }
        if end || answered > 0 {
            return Ok((data, end));
        }
    }
    Err(nothing)
}
