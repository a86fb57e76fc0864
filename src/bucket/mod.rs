//! A bucket and its handle. Each interface that acts on the keys of a bucket has a file of its own.

#[cfg(feature = "outbound")]
mod atomic;
#[cfg(feature = "outbound")]
mod batch;
#[cfg(feature = "outbound")]
mod readwrite;

#[cfg(feature = "outbound")]
pub use batch::Payloads;

use crate::error::{Call, Error};
use crate::handle::{BucketResource, Handle, raw_handle};
use crate::sys::{Raw, types};

/// A bucket: the collection of key-value pairs in which a change happened, or one that was opened by name.
///
/// A handler owns the bucket that it receives. Dropping a `Bucket` calls the draft's `drop-bucket`, once.
///
/// With the feature `outbound` a bucket reads and writes its keys: `get`, `set`, `increment` and the rest. Without it, a bucket can
/// be opened and dropped, and nothing else. No function tells the name of a bucket.
///
/// Some hosts drop the bucket of an event themselves: [`Bucket::into_raw`] gives up the handle without a call.
///
/// ```
/// use inbound_keyvalue::Bucket;
///
/// fn exists(name: &str) -> bool {
///     Bucket::open(name).is_ok()
/// }
/// ```
#[derive(Debug)]
pub struct Bucket {
    handle: Handle<BucketResource>,
}

impl Bucket {
    #[inline]
    pub(crate) fn adopt(raw: Raw) -> Self {
        Self { handle: Handle::new(raw) }
    }

    /// Opens the bucket called `name`: the draft's `open-bucket`.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] with the host's reason, if the host has no such bucket or does not allow the guest to open it.
    ///
    /// ```no_run
    /// # use inbound_keyvalue::{Bucket, Error};
    /// # fn main() -> Result<(), Error> {
    /// let users = Bucket::open("users")?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn open(name: impl AsRef<str>) -> Result<Self, Error> {
        match types::open_bucket(name.as_ref()) {
            Ok(raw) => Ok(Self::adopt(raw)),
            Err(error) => Err(Error::from_host(Call::OpenBucket, error)),
        }
    }
}

raw_handle!(Bucket, handle, bucket, "drop-bucket", "a live bucket of this instance");
