use std::fmt;
use std::io::{self, BufRead, Read};
use std::mem::{self, ManuallyDrop};

use bytes::Bytes;

use crate::error::{Call, Error, take_trace};
use crate::handle::{Handle, PayloadResource};
use crate::stream::{InputStream, shared};
use crate::sys::{Raw, copy, number_of, raw_of, types};

/// The value that a key was set to, not read yet: the draft's `payload`.
///
/// No byte enters the guest until you read. A watcher that looks only at the key pays for one call, `drop-payload`, which
/// dropping the `Payload` makes.
///
/// There are two ways to read. **Whole**, with [`into_bytes`](Self::into_bytes), [`into_string`](Self::into_string) or
/// `into_json`, if the payload fits in memory. **Streamed**, in constant memory: a `Payload` is [`Read`] and [`BufRead`], and
/// [`into_stream`](Self::into_stream) returns a stream with more ways to read. If the payload may be larger than you accept, set a
/// [`limit`](Self::limit) first: every way of reading keeps it.
///
/// Reading consumes the payload. In the draft its handle is gone after that, even if reading failed.
///
/// ```
/// use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload};
///
/// struct Greeter;
///
/// impl HandleWatch for Greeter {
///     fn on_set(&mut self, _bucket: Bucket, key: Key, payload: Payload) -> HandlerResult {
///         if let Some(name) = key.strip_prefix("names/") {
///             println!("{name} wants to be called {}", payload.into_string()?);
///         }
///         Ok(())
///     }
/// }
/// ```
pub struct Payload(ManuallyDrop<Parts>);

/// The parts of a payload: an unread handle, a stream, or a refusal.
struct Parts {
    /// Until the payload is consumed, even if that fails.
    unread: Option<Handle<PayloadResource>>,
    /// After reading has begun.
    stream: Option<InputStream>,
    /// Why the host refused to open the stream.
    refusal: Option<String>,
}

impl Payload {
    #[inline]
    pub(crate) fn adopt(raw: Raw) -> Self {
        Self::new(Parts { unread: Some(Handle::new(raw)), stream: None, refusal: None })
    }

    #[inline]
    fn new(parts: Parts) -> Self {
        Self(ManuallyDrop::new(parts))
    }

    #[inline]
    #[allow(unsafe_code, reason = "a type with `Drop` gives its parts away")]
    fn into_parts(self) -> Parts {
        let mut payload = ManuallyDrop::new(self);
        // SAFETY: the payload is not used again and not dropped, so its parts are taken once.
        unsafe { ManuallyDrop::take(&mut payload.0) }
    }

    /// The number of bytes of the payload, as the host says: the draft's `size`. `None` after reading has begun, because then the
    /// draft does not allow the question.
    ///
    /// This is a hint. A host that does not know the size may say 0 or any number. Use it to decide what to try first.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn looks_large(payload: &Payload) -> bool {
    ///     payload.size().is_some_and(|bytes| bytes > 1_000_000)
    /// }
    /// ```
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.0.unread.as_ref().map(|handle| types::size(handle.as_raw()))
    }

    /// Reads the whole payload: the draft's `payload-consume-sync`. The host's list is moved, not copied.
    ///
    /// If reading has begun, this returns the rest, through the stream. A [`limit`](Self::limit) counts as the begin of reading.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] with the host's reason. If reading has begun, also [`Error::Stream`], [`Error::Excess`],
    /// [`Error::NotReady`] or [`Error::TooLarge`].
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// fn is_gzip(payload: Payload) -> Result<bool, Error> {
    ///     Ok(payload.into_bytes()?.starts_with(&[0x1f, 0x8b]))
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_bytes(self) -> Result<Bytes, Error> {
        match self.into_unread() {
            Ok(handle) => types::payload_consume_boxed(handle.into_raw())
                .map(shared)
                .map_err(|error| Error::from_host(Call::PayloadConsumeSync, error)),
            Err(reading) => reading.into_vec().map(shared),
        }
    }

    /// Reads the whole payload as [`into_bytes`](Self::into_bytes) does, into a `Vec`.
    ///
    /// `Bytes` can be shared and cut without a copy. A watcher that does not need this is 4 kB smaller with a `Vec`.
    ///
    /// # Errors
    ///
    /// As for [`into_bytes`](Self::into_bytes).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// fn zeroes(payload: Payload) -> Result<usize, Error> {
    ///     Ok(payload.into_vec()?.iter().filter(|&&byte| byte == 0).count())
    /// }
    /// ```
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_vec(self) -> Result<Vec<u8>, Error> {
        let parts = self.into_parts();
        if let Some(handle) = parts.unread {
            return types::payload_consume_sync(handle.into_raw())
                .map_err(|error| Error::from_host(Call::PayloadConsumeSync, error));
        }
        let mut rest = Vec::new();
        parts.into_stream()?.read_rest(&mut rest)?;
        Ok(rest)
    }

    /// Accepts at most `max` bytes from now on, for every way of reading: whole, through [`Read`] or [`BufRead`], in chunks,
    /// with `skip`, or inside the host with `splice` and `forward`.
    ///
    /// The first `max` bytes can be read. If there are more, reading on fails with [`Error::TooLarge`]. The memory that reading
    /// takes is bounded by `max` and [`MAX_READ`](crate::MAX_READ). Of several limits the smallest counts.
    ///
    /// The limit opens the stream, the draft's `payload-consume-async`, because `payload-consume-sync` would bring the whole payload
    /// into memory. If the host refuses, reading returns its error. The host's size is asked first, for the message of the error.
    ///
    /// ```
    /// use std::io::BufRead;
    /// use inbound_keyvalue::{HandlerResult, Payload};
    ///
    /// fn lines(payload: Payload) -> HandlerResult {
    ///     for line in payload.limit(1024 * 1024).lines() {
    ///         println!("{}", line?);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use = "the limit holds for the payload that is returned"]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn limit(mut self, max: usize) -> Self {
        let size = self.size();
        // If the host refused the stream, the first read says so.
        if let Ok(stream) = self.stream() {
            stream.limit(max, size);
        }
        self
    }

    /// Reads the whole payload, or fails if it has more than `limit` bytes: [`limit`](Self::limit) and then
    /// [`into_bytes`](Self::into_bytes).
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], which names the limit and the size that the host says; otherwise as for
    /// [`into_bytes`](Self::into_bytes).
    ///
    /// ```
    /// # use inbound_keyvalue::{Bytes, Error, Payload};
    /// fn avatar(payload: Payload) -> Result<Bytes, Error> {
    ///     payload.into_bytes_limited(256 * 1024)
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_bytes_limited(self, limit: usize) -> Result<Bytes, Error> {
        self.limit(limit).into_bytes()
    }

    /// Reads the whole payload as text.
    ///
    /// # Errors
    ///
    /// [`Error::Utf8`], which has the bytes and the position at which the text ends; otherwise as for
    /// [`into_bytes`](Self::into_bytes).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// fn words(payload: Payload) -> Result<usize, Error> {
    ///     Ok(payload.into_string()?.split_whitespace().count())
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_string(self) -> Result<String, Error> {
        String::from_utf8(self.into_vec()?)
            .map_err(|error| Error::Utf8 { position: error.utf8_error().valid_up_to(), bytes: error.into_bytes() })
    }

    /// Reads the whole payload as JSON. Needs the feature `json`.
    ///
    /// # Errors
    ///
    /// [`Error::Json`], which has the bytes and the fault, with line and column; otherwise as for
    /// [`into_bytes`](Self::into_bytes).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// #[derive(serde::Deserialize)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// fn name(payload: Payload) -> Result<String, Error> {
    ///     Ok(payload.into_json::<User>()?.name)
    /// }
    /// ```
    #[cfg(feature = "json")]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        let bytes = self.into_vec()?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Json { error, bytes })
    }

    /// Opens the payload as a stream: the draft's `payload-consume-async`. If reading has begun, this returns the stream unchanged.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] with the host's reason.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// fn digest(payload: Payload) -> Result<u64, Error> {
    ///     use std::hash::Hasher;
    ///     let mut hasher = std::hash::DefaultHasher::new();
    ///     for chunk in payload.into_stream()?.chunks() {
    ///         hasher.write(&chunk?);
    ///     }
    ///     Ok(hasher.finish())
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_stream(self) -> Result<InputStream, Error> {
        self.into_parts().into_stream()
    }

    /// The draft's handle. This value still owns it. `None` after reading has begun, because then the handle is gone.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn log(payload: &Payload) {
    ///     println!("payload {:?}", payload.as_raw());
    /// }
    /// ```
    #[must_use]
    pub fn as_raw(&self) -> Option<u32> {
        self.0.unread.as_ref().map(|handle| number_of(handle.as_raw()))
    }

    /// Gives up the handle without a call. The caller must consume it or call `drop-payload`.
    ///
    /// # Errors
    ///
    /// The payload itself after reading has begun, because then the handle is gone.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn leave_to_the_host(payload: Payload) {
    ///     let _ = payload.into_raw();
    /// }
    /// ```
    #[allow(clippy::result_large_err, reason = "the error is the payload itself, which is given back")]
    pub fn into_raw(self) -> Result<u32, Self> {
        self.into_unread().map(|handle| number_of(handle.into_raw()))
    }

    /// The handle, or the payload itself after reading has begun.
    #[inline]
    #[allow(clippy::result_large_err, reason = "the error is the payload itself, which is given back")]
    fn into_unread(self) -> Result<Handle<PayloadResource>, Self> {
        match self.into_parts() {
            Parts { unread: Some(handle), .. } => Ok(handle),
            reading => Err(Self::new(reading)),
        }
    }

    /// Takes ownership of a handle.
    ///
    /// # Safety
    ///
    /// `raw` must be a live payload of this instance that was not consumed and that nothing else owns. This value consumes or drops
    /// it. A wrong number does not touch the memory of this instance: the host traps, or drops another handle.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn round_trip(payload: Payload) -> Result<Payload, Payload> {
    ///     let raw = payload.into_raw()?;
    ///     // SAFETY: `into_raw` has just given up the handle.
    ///     Ok(unsafe { Payload::from_raw(raw) })
    /// }
    /// ```
    #[must_use]
    #[allow(unsafe_code, reason = "the caller asserts the ownership of a handle")]
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self::adopt(raw_of(raw))
    }

    /// The stream, opened now if it is not open yet.
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn stream(&mut self) -> Result<&mut InputStream, Error> {
        let parts = &mut *self.0;
        if let Some(handle) = parts.unread.take() {
            // Only `adopt` makes a payload with a handle, without the other two parts, and only this function sets them, after it has
            // taken the handle. So there is nothing to drop. The compiler does not see this, and would keep the code that drops
            // them.
            match types::payload_consume_async(handle.into_raw()) {
                Ok(raw) => mem::forget(parts.stream.replace(InputStream::adopt(raw))),
                Err(error) => mem::forget(parts.refusal.replace(take_trace(error))),
            }
        }
        match &mut parts.stream {
            Some(stream) => Ok(stream),
            None => Err(refused(copy(parts.refusal.as_deref().unwrap_or_default()))),
        }
    }
}

impl Parts {
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn into_stream(self) -> Result<InputStream, Error> {
        match (self.unread, self.stream) {
            (Some(handle), _) => open(handle).map_err(refused),
            (None, Some(stream)) => Ok(stream),
            (None, None) => Err(refused(self.refusal.unwrap_or_default())),
        }
    }
}

/// Drops the parts one after the other, without an address of the payload.
///
/// The compiler's own drop is a function that gets the address. If the address reaches a function that is not inlined, the compiler
/// does not know after the next call of the host whether reading has begun. Then every watcher with a branch before `into_bytes`
/// contains the code that reads the rest of a stream: 3 kB.
impl Drop for Payload {
    #[inline]
    #[allow(unsafe_code, reason = "the parts are taken out of a borrowed payload")]
    fn drop(&mut self) {
        // SAFETY: nothing uses the payload after its drop, so its parts are taken once.
        let Parts { unread, stream, refusal } = unsafe { ManuallyDrop::take(&mut self.0) };
        drop(unread);
        drop(stream);
        drop(refusal);
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { unread, stream, refusal } = &*self.0;
        let mut payload = f.debug_struct("Payload");
        payload.field("unread", unread).field("stream", stream).field("refusal", refusal).finish()
    }
}

#[inline]
#[cfg_attr(not(target_family = "wasm"), track_caller)]
fn open(handle: Handle<PayloadResource>) -> Result<InputStream, String> {
    match types::payload_consume_async(handle.into_raw()) {
        Ok(raw) => Ok(InputStream::adopt(raw)),
        Err(error) => Err(take_trace(error)),
    }
}

#[cold]
fn refused(trace: String) -> Error {
    Error::Host { call: Call::PayloadConsumeAsync, trace }
}

/// Reads from the stream. The first read opens it.
impl Read for Payload {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.stream()?.read(buf)
    }

    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.stream()?.read_to_end(buf)
    }
}

/// Reads from the stream. The first read opens it.
impl BufRead for Payload {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(stream) = &mut self.0.stream {
            stream.consume(amount);
        }
    }
}
