//! The draft's interface `batch`.

use std::borrow::BorrowMut;
use std::iter::FusedIterator;
use std::vec;

use super::Bucket;
use crate::error::Error;
use crate::error::store::{StoreCall, refused};
use crate::handle::{Handle, PayloadResource};
use crate::payload::Payload;
use crate::sys::batch;
use crate::value::Value;

/// Many keys at once: the draft's interface `batch`. Needs the feature `outbound`.
///
/// A component imports the interface if it calls one of these functions. The draft says that [`get_many`](Bucket::get_many) and
/// [`set_many`](Bucket::set_many) are atomic. A host can break this promise when it is interrupted: after an error, part of a
/// `set_many` or `delete_many` may be done.
impl Bucket {
    /// The values of `keys`, in their order: the draft's `get-many`, one call. Reading each payload is another call. The draft says that
    /// the call is atomic: all values are of one moment.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the keys and the host's reason. If one of the keys is not set, the call fails, and there is no
    /// payload.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error, Payload};
    /// fn both(bucket: &Bucket) -> Result<Vec<String>, Error> {
    ///     bucket.get_many(&["first", "second"])?.map(Payload::into_string).collect()
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn get_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<Payloads, Error> {
        match batch::get_many(self.handle.as_raw(), keys) {
            Ok(raws) => Ok(Payloads(raws.into_iter().map(Handle::new).collect::<Vec<_>>().into_iter())),
            Err(error) => Err(refused(StoreCall::GetMany, keys, error)),
        }
    }

    /// All keys of the bucket: the draft's `get-keys`, one call. The draft promises no order. All keys are in memory at once.
    ///
    /// In the draft this call has no error. A host that cannot answer traps.
    ///
    /// ```
    /// # use inbound_keyvalue::Bucket;
    /// fn users(bucket: &Bucket) -> usize {
    ///     bucket.keys().iter().filter(|key| key.starts_with("users/")).count()
    /// }
    /// ```
    #[must_use]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn keys(&self) -> Vec<String> {
        batch::get_keys(self.handle.as_raw())
    }

    /// Makes or overwrites all `pairs`: the draft's `set-many`, one call. The draft says that the call is atomic.
    ///
    /// The values are [`Value`]s or `&mut Value`s. As in [`set`](Self::set), they are finished before the call. Values that were passed
    /// by value are dropped after the call, each with one call more.
    ///
    /// # Errors
    ///
    /// The error of [`Value::finish`] if a write to one of the values failed. The host gets no call then. [`Error::Store`] with the keys
    /// and the host's reason.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error, Value};
    /// fn move_to(bucket: &Bucket, user: &str, from: &str, to: &str) -> Result<(), Error> {
    ///     bucket.set_many([
    ///         (format!("users/{user}/city"), Value::from_bytes(to)?),
    ///         (format!("users/{user}/city-before"), Value::from_bytes(from)?),
    ///     ])
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn set_many<K, V>(&self, pairs: impl IntoIterator<Item = (K, V)>) -> Result<(), Error>
    where
        K: AsRef<str>,
        V: BorrowMut<Value>,
    {
        let (keys, mut values): (Vec<K>, Vec<V>) = pairs.into_iter().unzip();
        let mut raws = Vec::with_capacity(values.len());
        for value in &mut values {
            raws.push(value.borrow_mut().complete()?);
        }
        batch::set_many(self.handle.as_raw(), &keys, &raws).map_err(|error| refused(StoreCall::SetMany, &keys, error))
    }

    /// Removes those of `keys` that are set, and passes over the others: the draft's `delete-many`, one call. The draft does not say
    /// that the call is atomic.
    ///
    /// With one key, this is a [`delete`](Self::delete) that succeeds even if the key is not set.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the keys and the host's reason.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn forget(bucket: &Bucket, email: &str) -> Result<(), Error> {
    ///     bucket.delete_many(&[format!("by-email/{email}")])
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn delete_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<(), Error> {
        batch::delete_many(self.handle.as_raw(), keys).map_err(|error| refused(StoreCall::DeleteMany, keys, error))
    }
}

/// The payloads of [`Bucket::get_many`], in the order of the keys. Dropping it drops those that were not taken, each once.
///
/// ```
/// # use inbound_keyvalue::{Error, Payloads};
/// fn bytes(payloads: Payloads) -> Result<usize, Error> {
///     let mut bytes = 0;
///     for payload in payloads {
///         bytes += payload.into_vec()?.len();
///     }
///     Ok(bytes)
/// }
/// ```
// The type holds handles and not `Payload`s. So the compiler sees that a payload is new, and leaves out the code for payloads
// that were read.
#[derive(Debug)]
pub struct Payloads(vec::IntoIter<Handle<PayloadResource>>);

impl Iterator for Payloads {
    type Item = Payload;

    #[inline]
    fn next(&mut self) -> Option<Payload> {
        self.0.next().map(|handle| Payload::adopt(handle.into_raw()))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for Payloads {}

impl FusedIterator for Payloads {}
