use std::io::{self, Write};

use crate::error::Error;
use crate::handle::{Handle, ValueResource, raw_handle};
use crate::stream::{Fault, OutputStream};
use crate::sys::{Raw, types};

/// A value that a guest writes: the draft's `value`, and the output stream that writes its body.
///
/// With the feature `outbound`, `Bucket::set` stores a value under a key. Without it no function takes a value: make one for a host
/// that gives values its own meaning, or pass it to another interface through [`into_raw`](Self::into_raw).
///
/// A `Value` is [`Write`], which opens the body at the first write. [`body`](Self::body) lends the output stream, with all
/// its functions. [`finish`](Self::finish) ends the body and reports errors that a drop cannot report. Dropping a `Value` drops its
/// stream first and then the value, each once.
///
/// ```
/// use inbound_keyvalue::{HandlerResult, Payload, Value};
///
/// fn duplicate(mut payload: Payload) -> HandlerResult {
///     let mut value = Value::new();
///     std::io::copy(&mut payload, &mut value)?;
///     value.finish()?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Value {
    // Before the handle: fields are dropped in this order, and a stream must be dropped before its value.
    body: Body,
    handle: Handle<ValueResource>,
}

#[derive(Debug)]
enum Body {
    Unopened,
    Open(OutputStream),
    Unavailable,
    /// With the fault of a write, if one failed.
    Finished(Option<Fault>),
}

impl Value {
    #[inline]
    fn adopt(raw: Raw) -> Self {
        Self { body: Body::Unopened, handle: Handle::new(raw) }
    }

    /// Makes an empty value: the draft's `new-value`.
    ///
    /// ```no_run
    /// let value = inbound_keyvalue::Value::new();
    /// ```
    #[must_use]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn new() -> Self {
        Self::adopt(types::new_value())
    }

    /// The stream that writes the body. The first call opens it: the draft's `value-write-body`, called at most once for each value.
    ///
    /// The value keeps the stream and lends it, because the stream must be dropped before its value.
    ///
    /// # Errors
    ///
    /// [`Error::BodyUnavailable`] if the host refused the body, now or before. [`Error::Finished`] after
    /// [`finish`](Self::finish).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Value};
    /// fn zeroes(len: u64) -> Result<Value, Error> {
    ///     let mut value = Value::new();
    ///     value.body()?.write_repeated(0, len)?;
    ///     Ok(value)
    /// }
    /// ```
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn body(&mut self) -> Result<&OutputStream, Error> {
        if let Body::Unopened = self.body {
            self.open();
        }
        match &self.body {
            Body::Open(stream) => Ok(stream),
            Body::Finished(_) => Err(Error::Finished),
            Body::Unavailable | Body::Unopened => Err(Error::BodyUnavailable),
        }
    }

    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn open(&mut self) {
        self.body = match types::value_write_body(self.handle.as_raw()) {
            Ok(raw) => Body::Open(OutputStream::adopt(raw)),
            Err(()) => Body::Unavailable,
        };
    }

    /// Ends the body: drops its stream, and tells whether every write succeeded. If nothing was written, the body is opened first,
    /// so that the value is empty and not unwritten.
    ///
    /// The value stays, and takes no more writes. Another call returns the same result.
    ///
    /// # Errors
    ///
    /// [`Error::BodyUnavailable`] if the host refused the body. If a write to the body failed, the error of that write, even if it
    /// was returned before and even if you wrote again after it: the body may lack bytes.
    ///
    /// ```
    /// # use std::io::Write;
    /// # use inbound_keyvalue::{HandlerResult, Value};
    /// fn write(text: &str) -> HandlerResult {
    ///     let mut value = Value::new();
    ///     value.write_all(text.as_bytes())?;
    ///     value.finish()?;
    ///     Ok(())
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn finish(&mut self) -> Result<(), Error> {
        if let Ok(stream) = self.body() {
            self.body = Body::Finished(stream.fault());
        }
        match self.body {
            Body::Finished(None) => Ok(()),
            Body::Finished(Some(fault)) => Err(fault.into()),
            _ => Err(Error::BodyUnavailable),
        }
    }
}

#[cfg(feature = "outbound")]
impl Value {
    /// Makes a value with this content, ready for [`Bucket::set_many`](crate::Bucket::set_many): `new-value`, and `value-write-body` and
    /// `write` unless the content is empty.
    ///
    /// # Errors
    ///
    /// [`Error::BodyUnavailable`], [`Error::Stream`], [`Error::Excess`] or [`Error::WriteZero`]. The value is dropped then.
    ///
    /// ```
    /// # use inbound_keyvalue::{Bucket, Error, Value};
    /// fn start(counters: &Bucket) -> Result<(), Error> {
    ///     counters.set_many([("hits", Value::from_bytes("0")?), ("misses", Value::from_bytes("0")?)])
    /// }
    /// ```
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn from_bytes(content: impl AsRef<[u8]>) -> Result<Self, Error> {
        Self::with_content(content.as_ref())
    }

    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn with_content(content: &[u8]) -> Result<Self, Error> {
        let handle = Handle::new(types::new_value());
        if !content.is_empty() {
            let Ok(raw) = types::value_write_body(handle.as_raw()) else { return Err(Error::BodyUnavailable) };
            OutputStream::adopt(raw).write_whole(content)?;
        }
        Ok(Self { body: Body::Finished(None), handle })
    }

    /// Drops the stream, so that the value is complete, and returns the handle for a call that borrows it.
    ///
    /// A value that was never written is empty, and needs no body. It takes no writes afterwards: the host may have the value.
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub(crate) fn complete(&mut self) -> Result<Raw, Error> {
        match self.body {
            Body::Finished(None) => {}
            Body::Unopened => self.body = Body::Finished(None),
            _ => self.finish()?,
        }
        Ok(self.handle.as_raw())
    }
}

raw_handle!(Value, handle, value, "drop-value", "a live value of this instance without an opened body");

impl Default for Value {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn default() -> Self {
        Self::new()
    }
}

/// Writes to the body. The first write opens it.
impl Write for Value {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Write::write(&mut self.body()?, buf)
    }

    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        if buf.is_empty() {
            return Ok(());
        }
        Ok(self.body()?.write_whole(buf)?)
    }

    /// Does nothing: the draft has no flush. [`finish`](Value::finish) ends the body.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
