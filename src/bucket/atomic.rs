//! The draft's interface `atomic`.

use super::Bucket;
use crate::error::Error;
use crate::error::store::{StoreCall, refused};
use crate::sys::atomic;

/// Numbers that several guests change: the draft's interface `atomic`. Needs the feature `outbound`.
///
/// A component imports the interface if it calls one of these functions. The draft does not say which bytes represent a number.
/// `TestHost` and `kvwatch` keep a number as decimal text, as Redis does, so [`get_string`](Bucket::get_string) reads it. On
/// these hosts, a key with another content causes an error.
impl Bucket {
    /// Adds `delta` to the number under `key`, and returns the new number: the draft's `increment`, one call. The call is atomic: of
    /// several guests that increment one key, none loses its part. A key that is not set counts as 0.
    ///
    /// The call is not idempotent. If an event comes twice, its part is added twice.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the host's reason: for example, the content is not a number, or the sum is too large.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn count(bucket: &Bucket, shop: &str, cents: u64) -> Result<u64, Error> {
    ///     bucket.increment(format!("totals/{shop}"), cents)
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn increment(&self, key: impl AsRef<str>, delta: u64) -> Result<u64, Error> {
        let key = key.as_ref();
        atomic::increment(self.handle.as_raw(), key, delta)
            .map_err(|error| refused(StoreCall::Increment, &[key], error))
    }

    /// Sets the number under `key` to `new` if it is `old`, and returns whether it did: the draft's `compare-and-swap`, one call. The
    /// call is atomic: no other guest can change the key between the comparison and the change.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the host's reason. A key that is not set is an error too.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, HandlerResult};
    /// fn raise(bucket: &Bucket, highest: u64) -> HandlerResult {
    ///     loop {
    ///         let now = bucket.get_string("highest")?.parse()?;
    ///         if now >= highest || bucket.compare_and_swap("highest", now, highest)? {
    ///             return Ok(());
    ///         }
    ///     }
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn compare_and_swap(&self, key: impl AsRef<str>, old: u64, new: u64) -> Result<bool, Error> {
        let key = key.as_ref();
        atomic::compare_and_swap(self.handle.as_raw(), key, old, new)
            .map_err(|error| refused(StoreCall::CompareAndSwap, &[key], error))
    }
}
