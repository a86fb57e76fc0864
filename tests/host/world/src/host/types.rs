//! The interface `types`.
//!
//! All functions have one error: they trap. They trap when a handle is bad (unless [`BadHandle::Note`](crate::BadHandle::Note)),
//! and when the guest exceeds a limit.

#![allow(clippy::missing_errors_doc, reason = "the module's documentation states the one error of all functions")]

use std::sync::Arc;

use super::{Body, Called, Details, Host, Input, Object, Output};
use crate::accounts::{Fault, Kind};
use crate::content::Content;
use crate::personality::{ConsumedPayload, Personality};
use crate::table::Life;

/// The two ways to consume a payload.
#[derive(Clone, Copy)]
enum Consume {
    Sync,
    Async,
}

impl Consume {
    fn call(self) -> &'static str {
        match self {
            Self::Sync => "payload-consume-sync",
            Self::Async => "payload-consume-async",
        }
    }

    fn refusal(self, personality: &Personality) -> Option<&String> {
        match self {
            Self::Sync => personality.consume_sync_error.as_ref(),
            Self::Async => personality.consume_async_error.as_ref(),
        }
    }
}

impl Host {
    /// `drop-bucket`
    #[inline]
    pub fn drop_bucket(&mut self, bucket: u32) -> Called<()> {
        self.drop_handle(Kind::Bucket, bucket, "drop-bucket")
    }

    /// `open-bucket`
    pub fn open_bucket(&mut self, name: &str) -> Called<Result<u32, u32>> {
        let asked = self.start_open_bucket(name)?;
        self.finish(asked.block())
    }

    /// `drop-error`
    pub fn drop_error(&mut self, error: u32) -> Called<()> {
        self.drop_handle(Kind::Error, error, "drop-error")
    }

    /// `new-error`
    pub fn new_error(&mut self) -> Called<u32> {
        self.calls += 1;
        self.error("new-error", String::new())
    }

    /// `trace`
    pub fn trace(&mut self, error: u32) -> Called<String> {
        self.calls += 1;
        match self.table.get(Kind::Error, error).map(|entry| &entry.object) {
            Some(Object::Error(trace)) => Ok(trace.clone()),
            _ => self.missing(Kind::Error, error, "trace").map(|()| String::new()),
        }
    }

    /// `drop-value`
    pub fn drop_value(&mut self, value: u32) -> Called<()> {
        let (number, stream) = match self.table.get(Kind::Value, value).map(|entry| &entry.object) {
            Some(&Object::Value { number, body: Body::Stream(stream) }) => (Some(number), stream),
            _ => (None, 0),
        };
        // A later stream can have the same handle, so the value that it writes is compared as well.
        if number.is_some() && self.output(stream).map(|output| output.number) == number {
            self.violate(Fault::ParentFirst, Kind::Value, value, "drop-value");
        }
        self.drop_handle(Kind::Value, value, "drop-value")
    }

    /// `new-value`
    pub fn new_value(&mut self) -> Called<u32> {
        self.calls += 1;
        self.admit_handle("new-value", 0)?;
        self.values_made += 1;
        let number = self.written.add(self.details == Details::Collected);
        Ok(self.insert(Kind::Value, "new-value", Object::Value { number, body: Body::Unopened }))
    }

    /// `value-write-body`
    pub fn value_write_body(&mut self, value: u32) -> Called<Result<u32, ()>> {
        self.calls += 1;
        let Some(Object::Value { number, body }) = self.table.get(Kind::Value, value).map(|entry| &mut entry.object)
        else {
            return self.missing(Kind::Value, value, "value-write-body").map(|()| Err(()));
        };
        let number = *number;
        if !matches!(body, Body::Unopened) {
            self.violate(Fault::BodyAgain, Kind::Value, value, "value-write-body");
            return Ok(Err(()));
        }
        *body = Body::Refused;
        if self.personality.value_body_error {
            return Ok(Err(()));
        }
        let output = Output { number, empty: 0, failed: false };
        let stream = self.make(Kind::OutputStream, "value-write-body", Object::Output(output))?;
        self.written.share(number);
        if let Some(Object::Value { body, .. }) = self.table.get(Kind::Value, value).map(|entry| &mut entry.object) {
            *body = Body::Stream(stream);
        }
        Ok(Ok(stream))
    }

    /// `drop-payload`
    #[inline]
    pub fn drop_payload(&mut self, payload: u32) -> Called<()> {
        if let Some(Object::Payload { content: None, .. }) =
            self.table.get(Kind::Payload, payload).map(|entry| &entry.object)
        {
            self.violate(Fault::ConsumedBefore, Kind::Payload, payload, "drop-payload");
        }
        self.drop_handle(Kind::Payload, payload, "drop-payload")
    }

    /// `payload-consume-sync`
    #[inline]
    pub fn payload_consume_sync(&mut self, payload: u32) -> Called<Result<Arc<Vec<u8>>, u32>> {
        let Some((content, _)) = self.consume(Consume::Sync, payload) else {
            return self.refuse(Consume::Sync, payload).map(Err);
        };
        match content.into_whole() {
            Ok(data) => Ok(Ok(data)),
            Err(error) => self.error("payload-consume-sync", error.to_string()).map(Err),
        }
    }

    /// `payload-consume-async`
    #[inline]
    pub fn payload_consume_async(&mut self, payload: u32) -> Called<Result<u32, u32>> {
        let Some((content, kept)) = self.consume(Consume::Async, payload) else {
            return self.refuse(Consume::Async, payload).map(Err);
        };
        let input = Input { content, kept, offset: 0, empty: 0, ended: false, failed: false };
        self.make(Kind::InputStream, "payload-consume-async", Object::Input(input)).map(Ok)
    }

    /// `size`
    pub fn size(&mut self, payload: u32) -> Called<u64> {
        self.calls += 1;
        let Some(&mut Object::Payload { ref content, len, .. }) =
            self.table.get(Kind::Payload, payload).map(|entry| &mut entry.object)
        else {
            return self.missing(Kind::Payload, payload, "size").map(|()| 0);
        };
        if content.is_none() {
            self.violate(Fault::ConsumedBefore, Kind::Payload, payload, "size");
        }
        Ok(self.personality.size.of(len))
    }

    /// The content that the guest consumes, and its part of the kept bytes. `None` if the host refuses, or if there is none.
    #[inline]
    fn consume(&mut self, how: Consume, payload: u32) -> Option<(Content, u64)> {
        self.calls += 1;
        if how.refusal(&self.personality).is_none() { self.take_content(payload) } else { None }
    }

    /// Takes the content from a payload, which no longer keeps it.
    #[inline]
    fn take_content(&mut self, payload: u32) -> Option<(Content, u64)> {
        let (content, kept) = match self.personality.consumed_payload {
            ConsumedPayload::Gone => match self.table.remove(Kind::Payload, payload, Life::Consumed)?.object {
                Object::Payload { content, kept, .. } => (content?, kept),
                _ => return None,
            },
            ConsumedPayload::Stays => match &mut self.table.get(Kind::Payload, payload)?.object {
                Object::Payload { content, kept, .. } => (content.take()?, std::mem::take(kept)),
                _ => return None,
            },
        };
        self.object_bytes = self.object_bytes.saturating_sub(kept);
        Some((content, kept))
    }

    /// Makes the error that tells the guest why it cannot consume the payload.
    #[cold]
    fn refuse(&mut self, how: Consume, payload: u32) -> Called<u32> {
        if let Some(trace) = how.refusal(&self.personality).cloned() {
            // A refusal consumes the payload as well.
            if self.take_content(payload).is_some() {
                return self.error(how.call(), trace);
            }
        }
        if self.table.get(Kind::Payload, payload).is_some() {
            self.violate(Fault::ConsumedBefore, Kind::Payload, payload, how.call());
        } else {
            self.missing(Kind::Payload, payload, how.call())?;
        }
        self.error(how.call(), format!("there is no payload {payload} to consume"))
    }
}
