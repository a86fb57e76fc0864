use crate::Error;
use crate::error::Call;
use crate::handle::{BucketKind, Handle};
use crate::sys::types;

/// A bucket: the collection of key-value pairs in which a change happened, or one that was opened by name.
///
/// A handler owns the bucket that it is given. Dropping a `Bucket` calls the draft's `drop-bucket`, once.
///
/// In this world a bucket can be opened and dropped, and that is all: no function reads or writes a key, or tells a bucket's
/// name. Some hosts hand out a bucket that they drop themselves; [`Bucket::into_raw`] gives it up without a call.
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
    handle: Handle<BucketKind>,
}

impl Bucket {
    #[inline]
    pub(crate) fn new(raw: u32) -> Self {
        Self { handle: Handle::new(raw) }
    }

    /// Opens the bucket called `name`: the draft's `open-bucket`.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] with the host's reason when it has no such bucket or does not let it be opened.
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
            Ok(raw) => Ok(Self::new(raw)),
            Err(error) => Err(Error::from_host(Call::OpenBucket, error)),
        }
    }

    /// The draft's handle, still owned by this bucket.
    ///
    /// ```no_run
    /// # use inbound_keyvalue::Bucket;
    /// fn same(a: &Bucket, b: &Bucket) -> bool {
    ///     a.as_raw() == b.as_raw()
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub fn as_raw(&self) -> u32 {
        self.handle.as_raw()
    }

    /// Gives the handle up: `drop-bucket` is now the caller's to call, or the host's.
    ///
    /// ```no_run
    /// # use inbound_keyvalue::Bucket;
    /// fn leave_to_the_host(bucket: Bucket) {
    ///     let _ = bucket.into_raw();
    /// }
    /// ```
    #[must_use = "a handle that nobody drops stays with the host"]
    #[inline]
    pub fn into_raw(self) -> u32 {
        self.handle.into_raw()
    }

    /// Takes ownership of a handle.
    ///
    /// # Safety
    ///
    /// `raw` must be a live bucket of this instance that nothing else owns: it will be dropped. Numbers that are wrong do
    /// not touch this instance's memory; they end in a trap, or in another handle being dropped.
    ///
    /// ```no_run
    /// # use inbound_keyvalue::Bucket;
    /// fn round_trip(bucket: Bucket) -> Bucket {
    ///     let raw = bucket.into_raw();
    ///     // SAFETY: `into_raw` has just given it up.
    ///     unsafe { Bucket::from_raw(raw) }
    /// }
    /// ```
    #[must_use]
    #[allow(unsafe_code, reason = "ownership of a handle is asserted by the caller")]
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self { handle: Handle::new(raw) }
    }
}
