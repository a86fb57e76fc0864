use std::io::{self, Write};

use crate::Error;
use crate::handle::{Handle, ValueKind};
use crate::stream::OutputStream;
use crate::sys::types;

/// A value in the making: the draft's `value`, and the output stream that writes its body.
///
/// In this world nothing stores a value: no function takes one. Make one for a host that gives values a meaning of its own, or
/// to hand it to another interface through [`into_raw`](Self::into_raw).
///
/// A `Value` is [`Write`], which opens the body at the first write; [`body`](Self::body) gives all that an output stream can
/// do. [`finish`](Self::finish) ends the body and reports what a drop would swallow. Dropping a `Value` drops first its stream,
/// then the value, each once.
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
    // Before the handle: fields are dropped in this order, and a stream goes before its value.
    body: Body,
    handle: Handle<ValueKind>,
}

#[derive(Debug)]
enum Body {
    Unopened,
    Open(OutputStream),
    Unavailable,
    Finished,
}

impl Value {
    /// Makes an empty value: the draft's `new-value`.
    ///
    /// ```no_run
    /// let value = inbound_keyvalue::Value::new();
    /// ```
    #[must_use]
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn new() -> Self {
        Self { body: Body::Unopened, handle: Handle::new(types::new_value()) }
    }

    /// The stream that writes the body, opened by the first call: the draft's `value-write-body`, called at most once a value.
    ///
    /// # Errors
    ///
    /// [`Error::BodyUnavailable`] when the host refused it, now or before; [`Error::Finished`] after
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
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    pub fn body(&mut self) -> Result<&mut OutputStream, Error> {
        if let Body::Unopened = self.body {
            self.body = match types::value_write_body(self.handle.as_raw()) {
                Ok(raw) => Body::Open(OutputStream::new(raw)),
                Err(()) => Body::Unavailable,
            };
        }
        match &mut self.body {
            Body::Open(stream) => Ok(stream),
            Body::Finished => Err(Error::Finished),
            Body::Unavailable | Body::Unopened => Err(Error::BodyUnavailable),
        }
    }

    /// Ends the body: drops its stream, and tells whether all writes to it went through. An unwritten body is opened first, so
    /// that the value is empty rather than unwritten.
    ///
    /// The value stays, and takes no more writes. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::BodyUnavailable`] when the host refused the body; the stream's own error when it has failed, also when
    /// that was reported before.
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
        if let Body::Finished = self.body {
            return Ok(());
        }
        let outcome = self.body().and_then(|stream| stream.check());
        if let Body::Open(_) = self.body {
            self.body = Body::Finished;
        }
        outcome
    }

    /// The draft's handle, still owned by this value.
    ///
    /// ```
    /// # use inbound_keyvalue::Value;
    /// fn log(value: &Value) {
    ///     println!("value {}", value.as_raw());
    /// }
    /// ```
    #[must_use]
    #[inline]
    pub fn as_raw(&self) -> u32 {
        self.handle.as_raw()
    }

    /// Drops the body's stream and gives the handle up: `drop-value` is now the caller's to call.
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, Value};
    /// fn hand_over(mut value: Value) -> Result<u32, Error> {
    ///     value.finish()?;
    ///     Ok(value.into_raw())
    /// }
    /// ```
    #[must_use = "a handle that nobody drops stays with the host"]
    pub fn into_raw(self) -> u32 {
        self.handle.into_raw()
    }

    /// Takes ownership of a handle.
    ///
    /// # Safety
    ///
    /// `raw` must be a live value of this instance whose body was not opened and that nothing else owns: it will be dropped.
    /// Numbers that are wrong do not touch this instance's memory; they end in a trap, or in another handle being dropped.
    ///
    /// ```
    /// # use inbound_keyvalue::Value;
    /// fn round_trip(value: Value) -> Value {
    ///     let raw = value.into_raw();
    ///     // SAFETY: `into_raw` has just given it up.
    ///     unsafe { Value::from_raw(raw) }
    /// }
    /// ```
    #[must_use]
    #[allow(unsafe_code, reason = "ownership of a handle is asserted by the caller")]
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self { body: Body::Unopened, handle: Handle::new(raw) }
    }
}

impl Default for Value {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn default() -> Self {
        Self::new()
    }
}

/// Writes to the body, which the first write opens.
impl Write for Value {
    #[cfg_attr(not(target_family = "wasm"), track_caller)]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.body()?.write(buf)
    }

    /// Does nothing: the draft has no flush. [`finish`](Value::finish) ends the body.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
