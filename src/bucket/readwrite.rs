//! The draft's interface `readwrite`.

use std::borrow::BorrowMut;

use bytes::Bytes;

use super::Bucket;
use crate::error::Error;
use crate::error::store::{StoreCall, refused, unreadable};
use crate::payload::Payload;
use crate::sys::readwrite;
use crate::value::Value;

/// The keys of the bucket, one at a time: the draft's interface `readwrite`. Needs the feature `outbound`.
///
/// A component imports the interface if it calls one of these functions. The draft promises no atomicity for them: between two calls
/// another guest can change the key.
impl Bucket {
    /// The value of `key`: the draft's `get`, one call. Reading the payload is the second call.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the host's reason. A key that is not set is an error too, and the draft does not tell it from
    /// another failure: see [`try_get`](Self::try_get).
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn lines(bucket: &Bucket) -> Result<usize, Error> {
    ///     let mut stream = bucket.get("log")?.into_stream()?;
    ///     let mut lines = 0;
    ///     for chunk in stream.chunks() {
    ///         lines += chunk?.iter().filter(|&&byte| byte == b'\n').count();
    ///     }
    ///     Ok(lines)
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn get(&self, key: impl AsRef<str>) -> Result<Payload, Error> {
        let key = key.as_ref();
        match readwrite::get(self.handle.as_raw(), key) {
            Ok(raw) => Ok(Payload::adopt(raw)),
            Err(error) => Err(refused(StoreCall::Get, &[key], error)),
        }
    }

    /// The value of `key`, or `None` if the key is not set: the draft's `exists`, and then `get` if the key exists. Two calls.
    ///
    /// The two calls are not atomic. If another guest deletes the key between them, the result is the error of `get`.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the host's reason. The draft's text says that `exists` of a key that is not set is an error. On
    /// a host that follows the text and not the function's type, this function returns that error.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn greeting(bucket: &Bucket) -> Result<String, Error> {
    ///     match bucket.try_get("greeting")? {
    ///         Some(payload) => payload.into_string(),
    ///         None => Ok("hello".to_owned()),
    ///     }
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn try_get(&self, key: impl AsRef<str>) -> Result<Option<Payload>, Error> {
        let key = key.as_ref();
        if self.exists(key)? { self.get(key).map(Some) } else { Ok(None) }
    }

    /// The whole value of `key` as bytes: the draft's `get` and `payload-consume-sync`, two calls.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the reason. A key that is not set is an error too.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn is_enabled(bucket: &Bucket) -> Result<bool, Error> {
    ///     Ok(bucket.get_bytes("enabled")? == "1")
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn get_bytes(&self, key: impl AsRef<str>) -> Result<Bytes, Error> {
        self.get_and(key.as_ref(), Payload::into_bytes)
    }

    /// The whole value of `key` as text: the draft's `get` and `payload-consume-sync`, two calls.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the reason. A key that is not set is an error too. If the value is not text,
    /// [`StoreError::payload_error`](crate::StoreError::payload_error) is [`Error::Utf8`], which has the bytes.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn owner(bucket: &Bucket, user: &str) -> Result<String, Error> {
    ///     bucket.get_string(format!("by-email/{user}"))
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn get_string(&self, key: impl AsRef<str>) -> Result<String, Error> {
        self.get_and(key.as_ref(), Payload::into_string)
    }

    /// The whole value of `key` as JSON: the draft's `get` and `payload-consume-sync`, two calls. Needs the feature `json` too.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the reason. A key that is not set is an error too. If the value is not the JSON expected,
    /// [`StoreError::payload_error`](crate::StoreError::payload_error) is [`Error::Json`], which has the bytes.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn limits(bucket: &Bucket) -> Result<Vec<u32>, Error> {
    ///     bucket.get_json("limits")
    /// }
    /// ```
    #[cfg(feature = "json")]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn get_json<T: serde::de::DeserializeOwned>(&self, key: impl AsRef<str>) -> Result<T, Error> {
        self.get_and(key.as_ref(), Payload::into_json)
    }

    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn get_and<T>(&self, key: &str, read: impl FnOnce(Payload) -> Result<T, Error>) -> Result<T, Error> {
        read(self.get(key)?).map_err(|error| unreadable(key, error))
    }

    /// Makes or overwrites `key` with what was written to `value`: the draft's `set`, one call.
    ///
    /// `value` is a [`Value`] or a `&mut Value`. Before the call this function [finishes](Value::finish) the value, so that it has all
    /// the bytes that were written. The value takes no more writes afterwards. It can be stored again under other keys. A value that
    /// was never written is empty.
    ///
    /// # Errors
    ///
    /// The error of [`Value::finish`] if a write to the value failed: a value that may lack bytes is never stored. [`Error::Store`] with
    /// the key and the host's reason.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, HandlerResult, Payload, Value};
    /// fn mirror(target: &Bucket, key: &str, mut payload: Payload) -> HandlerResult {
    ///     let mut value = Value::new();
    ///     std::io::copy(&mut payload, &mut value)?;
    ///     target.set(key, value)?;
    ///     Ok(())
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn set(&self, key: impl AsRef<str>, mut value: impl BorrowMut<Value>) -> Result<(), Error> {
        self.set_value(key.as_ref(), value.borrow_mut())
    }

    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn set_value(&self, key: &str, value: &mut Value) -> Result<(), Error> {
        let value = value.complete()?;
        readwrite::set(self.handle.as_raw(), key, value).map_err(|error| refused(StoreCall::Set, &[key], error))
    }

    /// Makes or overwrites `key` with `content`: a [`Value`] with the content, and the draft's `set`.
    ///
    /// Six calls: `new-value`, `value-write-body`, `write`, `drop-output-stream`, `set` and `drop-value`. A host that takes a long
    /// content in parts gets several calls of `write`. An empty content takes three calls.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn remember(bucket: &Bucket, email: &str, id: &str) -> Result<(), Error> {
    ///     bucket.set_bytes(format!("by-email/{email}"), id)
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn set_bytes(&self, key: impl AsRef<str>, content: impl AsRef<[u8]>) -> Result<(), Error> {
        self.set_value(key.as_ref(), &mut Value::from_bytes(content)?)
    }

    /// Makes or overwrites `key` with JSON: [`set_bytes`](Self::set_bytes) of what `serde_json` writes. Needs the feature `json` too.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set), and [`Error::Store`] with the key if `content` cannot be written as JSON. The host gets no call then.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn remember(bucket: &Bucket, limits: &[u32]) -> Result<(), Error> {
    ///     bucket.set_json("limits", limits)
    /// }
    /// ```
    #[cfg(feature = "json")]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn set_json<T: serde::Serialize + ?Sized>(&self, key: impl AsRef<str>, content: &T) -> Result<(), Error> {
        let key = key.as_ref();
        let json = serde_json::to_vec(content).map_err(|error| crate::error::store::unwritable(key, error))?;
        self.set_bytes(key, json)
    }

    /// Removes `key`: the draft's `delete`, one call.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the host's reason. A key that is not set is an error too.
    /// [`delete_many`](Self::delete_many) passes over it.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn forget(bucket: &Bucket, email: &str) -> Result<(), Error> {
    ///     bucket.delete(format!("by-email/{email}"))
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn delete(&self, key: impl AsRef<str>) -> Result<(), Error> {
        let key = key.as_ref();
        readwrite::delete(self.handle.as_raw(), key).map_err(|error| refused(StoreCall::Delete, &[key], error))
    }

    /// Whether `key` is set: the draft's `exists`, one call.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] with the key and the host's reason. The draft contradicts itself: its text says that a key that is not set is an
    /// error, and its type has a `false`. Most hosts answer `false`. This function returns what the host answers.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error};
    /// fn is_known(bucket: &Bucket, email: &str) -> Result<bool, Error> {
    ///     bucket.exists(format!("by-email/{email}"))
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn exists(&self, key: impl AsRef<str>) -> Result<bool, Error> {
        let key = key.as_ref();
        readwrite::exists(self.handle.as_raw(), key).map_err(|error| refused(StoreCall::Exists, &[key], error))
    }
}
