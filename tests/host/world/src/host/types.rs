//! The interface `types`.
//!
//! All functions have one error: they trap. They trap when a handle is bad (unless [`BadHandle::Note`](crate::BadHandle::Note)),
//! and when the guest exceeds a limit.

#![allow(clippy::missing_errors_doc, reason = "the module's documentation states the one error of all functions")]

use std::sync::Arc;

use super::object::{Body, Input, Object, Output, Payload};
use super::{CallResult, Details, Host};
use crate::accounts::{Fault, HandleKind};
use crate::table::Life;

impl Host {
    /// `drop-bucket`
    #[inline]
    pub fn drop_bucket(&mut self, bucket: u32) -> CallResult<()> {
        self.drop_handle(HandleKind::Bucket, bucket, "drop-bucket")
    }

    /// `open-bucket`
    pub fn open_bucket(&mut self, name: &str) -> CallResult<Result<u32, u32>> {
        let asked = self.start_open_bucket(name)?;
        self.finish(asked.block())
    }

    /// `drop-error`
    pub fn drop_error(&mut self, error: u32) -> CallResult<()> {
        self.drop_handle(HandleKind::Error, error, "drop-error")
    }

    /// `new-error`
    pub fn new_error(&mut self) -> CallResult<u32> {
        self.calls += 1;
        self.error("new-error", String::new())
    }

    /// `trace`
    pub fn trace(&mut self, error: u32) -> CallResult<String> {
        self.calls += 1;
        match self.table.get(HandleKind::Error, error) {
            Some(Object::Error(trace)) => Ok(trace.clone()),
            _ => self.missing(HandleKind::Error, error, "trace").map(|()| String::new()),
        }
    }

    /// `drop-value`
    pub fn drop_value(&mut self, value: u32) -> CallResult<()> {
        let (number, stream) = match self.table.get(HandleKind::Value, value) {
            Some(&mut Object::Value { number, body: Body::Stream(stream) }) => (Some(number), stream),
            _ => (None, 0),
        };
        // A later stream can have the same handle, so the value that it writes is compared as well.
        if number.is_some() && self.output(stream).map(|output| output.number) == number {
            self.violate(Fault::ParentFirst, HandleKind::Value, value, "drop-value");
        }
        self.drop_handle(HandleKind::Value, value, "drop-value")
    }

    /// `new-value`
    pub fn new_value(&mut self) -> CallResult<u32> {
        self.calls += 1;
        self.admit_handle("new-value", 0)?;
        self.values_made += 1;
        let number = self.written.add(self.details == Details::Collected);
        Ok(self.insert(HandleKind::Value, "new-value", Object::Value { number, body: Body::Unopened }))
    }

    /// `value-write-body`
    pub fn value_write_body(&mut self, value: u32) -> CallResult<Result<u32, ()>> {
        self.calls += 1;
        let Some(Object::Value { body, .. }) = self.table.get(HandleKind::Value, value) else {
            return self.missing(HandleKind::Value, value, "value-write-body").map(|()| Err(()));
        };
        if !matches!(body, Body::Unopened) {
            self.violate(Fault::BodyAgain, HandleKind::Value, value, "value-write-body");
            return Ok(Err(()));
        }
        *body = Body::Refused;
        self.decorated(|host| host.value_write_body(value))
    }

    pub(super) fn open_body(&mut self, value: u32) -> CallResult<Result<u32, ()>> {
        let Some(&mut Object::Value { number, .. }) = self.table.get(HandleKind::Value, value) else {
            return Ok(Err(()));
        };
        let output = Output { number, failed: false };
        let stream = self.make(HandleKind::OutputStream, "value-write-body", Object::Output(output))?;
        self.written.share(number);
        if let Some(Object::Value { body, .. }) = self.table.get(HandleKind::Value, value) {
            *body = Body::Stream(stream);
        }
        Ok(Ok(stream))
    }

    /// `drop-payload`
    #[inline]
    pub fn drop_payload(&mut self, payload: u32) -> CallResult<()> {
        self.calls += 1;
        match self.decorated(|host| host.drop_payload(payload)) {
            Some(()) => {
                self.handle_gone(HandleKind::Payload, payload);
                Ok(())
            }
            None => self.missing(HandleKind::Payload, payload, "drop-payload"),
        }
    }

    #[inline]
    pub(super) fn remove_handle_of_payload(&mut self, payload: u32) -> Option<()> {
        self.remove_handle(HandleKind::Payload, payload)
    }

    /// `payload-consume-sync`
    #[inline]
    pub fn payload_consume_sync(&mut self, payload: u32) -> CallResult<Result<Arc<Vec<u8>>, u32>> {
        let Payload { content, .. } = match self.consume("payload-consume-sync", payload)? {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        match content.into_whole() {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) => self.error("payload-consume-sync", error.to_string()).map(Err),
        }
    }

    /// `payload-consume-async`
    #[inline]
    pub fn payload_consume_async(&mut self, payload: u32) -> CallResult<Result<u32, u32>> {
        let Payload { content, kept } = match self.consume("payload-consume-async", payload)? {
            Ok(payload) => payload,
            Err(error) => return Ok(Err(error)),
        };
        let input = Input { content, kept, offset: 0, ended: false, failed: false };
        self.make(HandleKind::InputStream, "payload-consume-async", Object::Input(input)).map(Ok)
    }

    /// `size`
    pub fn size(&mut self, payload: u32) -> CallResult<u64> {
        self.calls += 1;
        match self.decorated(|host| host.size(payload)) {
            Some(size) => Ok(size),
            None => self.missing(HandleKind::Payload, payload, "size").map(|()| 0),
        }
    }

    pub(super) fn payload_len(&mut self, payload: u32) -> Option<u64> {
        match self.table.get(HandleKind::Payload, payload)? {
            Object::Payload(Payload { content, .. }) => Some(content.len()),
            _ => None,
        }
    }

    /// Takes the payload that the guest consumes with `call`, or makes the error with the reason why it cannot.
    #[expect(clippy::inline_always, reason = "as for `Table::insert`: the payload is not moved")]
    #[inline(always)]
    fn consume(&mut self, call: &'static str, payload: u32) -> CallResult<Result<Payload, u32>> {
        self.calls += 1;
        match self.decorated(|host| host.consume(call, payload)) {
            Some(Ok(payload)) => Ok(Ok(payload)),
            Some(Err(trace)) => self.error(call, trace).map(Err),
            None => self.cannot_consume(call, payload).map(Err),
        }
    }

    #[cold]
    fn cannot_consume(&mut self, call: &'static str, payload: u32) -> CallResult<u32> {
        if self.table.get(HandleKind::Payload, payload).is_none() {
            self.missing(HandleKind::Payload, payload, call)?;
        }
        self.error(call, format!("there is no payload {payload} to consume"))
    }

    #[inline]
    pub(super) fn take_payload(&mut self, _call: &'static str, payload: u32) -> Option<Result<Payload, String>> {
        let object = self.table.remove(HandleKind::Payload, payload, Life::Consumed)?;
        self.content_of(object).map(Ok)
    }

    /// Takes the content of a payload whose handle stays. `None` if there is no such payload, or if it was consumed before.
    pub(crate) fn spend_payload(&mut self, payload: u32) -> Option<Payload> {
        let object = std::mem::replace(self.table.get(HandleKind::Payload, payload)?, Object::Spent);
        self.content_of(object)
    }

    #[inline]
    fn content_of(&mut self, payload: Object) -> Option<Payload> {
        let Object::Payload(payload) = payload else { return None };
        self.object_bytes = self.object_bytes.saturating_sub(payload.kept);
        Some(payload)
    }
}
