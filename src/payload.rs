use std::io::{self, BufRead, Read};

use bytes::Bytes;

use crate::Error;
use crate::error::{Call, take_trace};
use crate::handle::{Handle, PayloadKind};
use crate::stream::{InputStream, append};
use crate::sys::types;

/// The value that a key was set to, not yet read: the draft's `payload`.
///
/// Nothing crosses into the guest until it is asked for: a watcher that looks at the key alone pays for one call, `drop-payload`,
/// made when the `Payload` is dropped.
///
/// There are two ways to read it. **Whole**, with [`into_bytes`](Self::into_bytes), [`into_string`](Self::into_string) or
/// `into_json`, where it fits in memory; with [`into_bytes_limited`](Self::into_bytes_limited) where whoever wrote it cannot be
/// trusted to keep it small. **Streamed**, in constant memory: a `Payload` is itself [`Read`] and [`BufRead`], and
/// [`into_stream`](Self::into_stream) gives all that a stream can do.
///
/// Reading consumes: by the draft the handle is gone once it was consumed, whether that worked or not, and so is
/// the `Payload`.
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
#[derive(Debug)]
pub struct Payload {
    /// Until it is consumed, which takes it whether that works or not.
    unread: Option<Handle<PayloadKind>>,
    /// Once reading has begun.
    stream: Option<InputStream>,
    /// Why the host refused to open the stream.
    refusal: Option<Box<str>>,
}

impl Payload {
    #[inline]
    pub(crate) fn new(raw: u32) -> Self {
        Self { unread: Some(Handle::new(raw)), stream: None, refusal: None }
    }

    /// How many bytes the host says that the payload has: the draft's `size`. `None` once reading has begun, when the draft no
    /// longer lets it be asked.
    ///
    /// A hint: hosts may not know, and say 0 or anything. Decide by it what to try, never what is true.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn looks_large(payload: &Payload) -> bool {
    ///     payload.size().is_some_and(|bytes| bytes > 1_000_000)
    /// }
    /// ```
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.unread.as_ref().map(|handle| types::size(handle.as_raw()))
    }

    /// Reads the whole payload: the draft's `payload-consume-sync`. The host's list is moved, not copied.
    ///
    /// Where reading has begun, what is left of it.
    ///
    /// # Errors
    ///
    /// [`Error::Host`] with the host's reason; where reading has begun, [`Error::Stream`], [`Error::Excess`] or
    /// [`Error::NotReady`].
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// fn is_gzip(payload: Payload) -> Result<bool, Error> {
    ///     Ok(payload.into_bytes()?.starts_with(&[0x1f, 0x8b]))
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_bytes(self) -> Result<Bytes, Error> {
        self.into_vec().map(Bytes::from)
    }

    /// Reads the whole payload as [`into_bytes`](Self::into_bytes) does, into what the host's list is in Rust.
    ///
    /// For what is used up where it is read: `Bytes` is for handing on and keeping, and a watcher that has no other use for
    /// it is 4 kB smaller without.
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
        if let Some(handle) = self.unread {
            return types::payload_consume_sync(handle.into_raw())
                .map_err(|error| Error::from_host(Call::PayloadConsumeSync, error));
        }
        let mut rest = Vec::new();
        self.into_stream()?.read_rest(&mut rest)?;
        Ok(rest)
    }

    /// Reads the whole payload if it has at most `limit` bytes, and stops reading when it turns out to have more.
    ///
    /// It is read through a stream, the draft's `payload-consume-async`, because `payload-consume-sync` would bring all of it
    /// into memory whatever its size.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], which names the limit and the size that the host gives; otherwise as for
    /// [`into_bytes`](Self::into_bytes).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Payload};
    /// fn avatar(payload: Payload) -> Result<bytes::Bytes, Error> {
    ///     payload.into_bytes_limited(256 * 1024)
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn into_bytes_limited(self, limit: usize) -> Result<Bytes, Error> {
        let size = self.size();
        let mut stream = self.into_stream()?;
        let mut bytes = Vec::new();
        loop {
            let left = limit - bytes.len();
            // One more than may come, to learn of it.
            let Some(list) = stream.pull(left.saturating_add(1))? else {
                return Ok(Bytes::from(bytes));
            };
            if list.len() > left {
                return Err(Error::TooLarge { limit, size });
            }
            append(&mut bytes, list);
        }
    }

    /// Reads the whole payload as text.
    ///
    /// # Errors
    ///
    /// [`Error::Utf8`], which says where the text ends and gives the bytes back; otherwise as for
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
    /// [`Error::Json`], which says what is wrong, with line and column, and gives the bytes back; otherwise as for
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

    /// Opens the payload as a stream: the draft's `payload-consume-async`. Where reading has begun, the stream as it is.
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
        match (self.unread, self.stream) {
            (Some(handle), _) => open(handle).map_err(refused),
            (None, Some(stream)) => Ok(stream),
            (None, None) => Err(refused(self.refusal.unwrap_or_default())),
        }
    }

    /// The draft's handle, still owned by this payload. `None` once reading has begun: then there is none any more.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn log(payload: &Payload) {
    ///     println!("payload {:?}", payload.as_raw());
    /// }
    /// ```
    #[must_use]
    pub fn as_raw(&self) -> Option<u32> {
        self.unread.as_ref().map(Handle::as_raw)
    }

    /// Gives the handle up: it is now the caller's to consume or to drop.
    ///
    /// # Errors
    ///
    /// The payload itself, once reading has begun: then there is no handle any more.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn leave_to_the_host(payload: Payload) {
    ///     let _ = payload.into_raw();
    /// }
    /// ```
    pub fn into_raw(self) -> Result<u32, Self> {
        match self {
            Self { unread: Some(handle), .. } => Ok(handle.into_raw()),
            reading => Err(reading),
        }
    }

    /// Takes ownership of a handle.
    ///
    /// # Safety
    ///
    /// `raw` must be a live payload of this instance that was not consumed and that nothing else owns: it will be consumed or
    /// dropped. Numbers that are wrong do not touch this instance's memory; they end in a trap, or in another handle being
    /// dropped.
    ///
    /// ```
    /// # use inbound_keyvalue::Payload;
    /// fn round_trip(payload: Payload) -> Result<Payload, Payload> {
    ///     let raw = payload.into_raw()?;
    ///     // SAFETY: `into_raw` has just given it up.
    ///     Ok(unsafe { Payload::from_raw(raw) })
    /// }
    /// ```
    #[must_use]
    #[allow(unsafe_code, reason = "ownership of a handle is asserted by the caller")]
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self::new(raw)
    }

    /// The stream, opened now if it is not open yet.
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn stream(&mut self) -> Result<&mut InputStream, Error> {
        if let Some(handle) = self.unread.take() {
            match open(handle) {
                Ok(stream) => self.stream = Some(stream),
                Err(trace) => self.refusal = Some(trace),
            }
        }
        match &mut self.stream {
            Some(stream) => Ok(stream),
            None => Err(refused(self.refusal.clone().unwrap_or_default())),
        }
    }
}

#[inline]
#[cfg_attr(not(target_family = "wasm"), track_caller)]
fn open(handle: Handle<PayloadKind>) -> Result<InputStream, Box<str>> {
    match types::payload_consume_async(handle.into_raw()) {
        Ok(raw) => Ok(InputStream::new(raw)),
        Err(error) => Err(take_trace(error).into()),
    }
}

#[cold]
fn refused(trace: Box<str>) -> Error {
    Error::Host { call: Call::PayloadConsumeAsync, trace: trace.into() }
}

/// Reads from the stream, which the first read opens.
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

/// Reads from the stream, which the first read opens.
impl BufRead for Payload {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Some(stream) = &mut self.stream {
            stream.consume(amount);
        }
    }
}
