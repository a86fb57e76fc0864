//! One key of a bucket: its last message, and the writes that depend on it.

use std::error::Error as _;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, ErrorCode};
use bytes::Bytes;
use inbound_keyvalue_host::store::StoreError;

use super::{NatsStore, Result};
use crate::serve::{Change, Escaped, Retry};
use crate::sources::nats::change;

/// The header of a write that names the watcher: its bucket and its `--name`.
pub const WRITER: &str = "Kvwatch-Writer";
/// The header of a write that counts the writes of watchers that led to it, itself included.
pub const DEPTH: &str = "Kvwatch-Depth";

/// The attempts of an atomic function, and the waits between them. In each round, at least one of all writers of a key succeeds.
/// So this number is enough for some hundred writers that never pause.
const CONTENTION: Retry = Retry { attempts: 200, first: Duration::from_millis(1), longest: Duration::from_millis(50) };

/// The last message of a key.
pub(super) struct Last {
    pub(super) revision: u64,
    pub(super) value: Option<Bytes>,
}

/// The decision of an atomic function about the value that it found.
pub(super) enum Decision<T> {
    Keep(T),
    /// The new value; `None` deletes the key.
    Write(Option<Bytes>, T),
}

impl NatsStore {
    pub(super) async fn stream(&self, bucket: &str) -> Result<Stream<()>> {
        let stream = self.context.get_stream_no_info(format!("KV_{bucket}")).await;
        stream.map_err(|_| StoreError::NoBucket(bucket.to_owned()))
    }

    /// The last message of a key. `None` if there never was one, or if it was purged.
    pub(super) async fn last(&self, bucket: &str, key: &str) -> Result<Option<Last>> {
        let subject = subject(bucket, key)?;
        // The leader answers this, so a watcher reads its own writes. A replica may answer a direct get.
        match self.stream(bucket).await?.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => {
                let value = match change(Some(&message.headers), &message.payload) {
                    Change::Set(value) => Some(value),
                    Change::Delete => None,
                };
                Ok(Some(Last { revision: message.sequence, value }))
            }
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(None),
                LastRawMessageErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Err(StoreError::NoBucket(bucket.to_owned()))
                }
                LastRawMessageErrorKind::JetStream(cause) => {
                    Err(StoreError::Refused(format!("NATS refused the call: {cause}")))
                }
                LastRawMessageErrorKind::InvalidSubject => Err(bad_key(key)),
                LastRawMessageErrorKind::Other => Err(unavailable(&error)),
            },
        }
    }

    pub(super) async fn value(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.last(bucket, key).await?.and_then(|last| last.value).ok_or_else(|| StoreError::NoKey(key.to_owned()))
    }

    /// Writes a message for a key if its last message is `expected`. Returns whether it did so.
    pub(super) async fn write(
        &self,
        bucket: &str,
        key: &str,
        value: Option<Bytes>,
        expected: Option<u64>,
    ) -> Result<bool> {
        let subject = subject(bucket, key)?;
        let mut headers = HeaderMap::new();
        headers.insert(WRITER, &*self.writer);
        headers.insert(DEPTH, self.depth.of_write().to_string());
        headers.insert("Nats-Expected-Stream", format!("KV_{bucket}"));
        if value.is_none() {
            headers.insert("KV-Operation", "DEL");
        }
        if let Some(revision) = expected {
            headers.insert("Nats-Expected-Last-Subject-Sequence", revision.to_string());
        }
        let sent = self.context.publish_with_headers(subject, headers, value.unwrap_or_default()).await;
        let stored = match sent {
            Ok(stored) => stored.await,
            Err(error) => Err(error),
        };
        match stored {
            Ok(_) => Ok(true),
            Err(error) if is_conflict(&error) => Ok(false),
            Err(error) => Err(self.refused(bucket, &error)),
        }
    }

    fn refused(&self, bucket: &str, error: &PublishError) -> StoreError {
        match error.kind() {
            PublishErrorKind::StreamNotFound => StoreError::NoBucket(bucket.to_owned()),
            PublishErrorKind::MaxPayloadExceeded => self.too_large(),
            _ => match code(error) {
                Some((ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM, _)) => StoreError::Full(format!(
                    "the value is larger than the bucket {bucket:?} allows (its max_value_size)"
                )),
                Some((ErrorCode::STREAM_STORE_FAILED, cause)) => {
                    StoreError::Full(format!("bucket {bucket:?}: {cause}"))
                }
                Some((_, cause)) => StoreError::Refused(format!("NATS refused the call: {cause}")),
                None => unavailable(error),
            },
        }
    }

    pub(super) fn too_large(&self) -> StoreError {
        let most = self.context.client().server_info().max_payload;
        StoreError::Full(format!("the server takes at most {most} bytes of a value and its headers (max_payload)"))
    }

    /// Reads a key, decides on its new value, and writes it if no other writer was faster. Otherwise it begins again.
    pub(super) async fn update<T>(
        &self,
        bucket: &str,
        key: &str,
        mut decide: impl FnMut(Option<Bytes>) -> Result<Decision<T>>,
    ) -> Result<T> {
        let mut waits = CONTENTION.waits();
        loop {
            let last = self.last(bucket, key).await?;
            let revision = last.as_ref().map_or(0, |last| last.revision);
            match decide(last.and_then(|last| last.value))? {
                Decision::Keep(answer) => return Ok(answer),
                Decision::Write(value, answer) => {
                    if self.write(bucket, key, value, Some(revision)).await? {
                        return Ok(answer);
                    }
                }
            }
            let Some(wait) = waits.next() else {
                return Err(StoreError::Unavailable(format!(
                    "other writers changed the key {key:?} at each of {} attempts",
                    CONTENTION.attempts
                )));
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// The subject of a key. A key that another client has made may have any character that a subject can have.
fn subject(bucket: &str, key: &str) -> Result<String> {
    let is_part = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
    };
    if key.split('.').all(is_part) { Ok(format!("$KV.{bucket}.{key}")) } else { Err(bad_key(key)) }
}

/// A new key must have only characters that all NATS clients can read.
pub(super) fn check_new_key(key: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte);
    if key.bytes().all(is_allowed) && key.split('.').all(|part| !part.is_empty()) { Ok(()) } else { Err(bad_key(key)) }
}

pub(super) fn bad_key(key: &str) -> StoreError {
    StoreError::Refused(format!(
        "NATS does not allow the key \"{}\": a key has the characters A-Z a-z 0-9 - / _ = and `.`, and no `.` at an end or \
         beside another",
        Escaped(key)
    ))
}

fn is_conflict(error: &PublishError) -> bool {
    error.kind() == PublishErrorKind::WrongLastSequence
        || matches!(code(error), Some((ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT, _)))
}

/// The server's own error, if it sent one.
fn code(error: &PublishError) -> Option<(ErrorCode, String)> {
    let error = error.source()?.downcast_ref::<jetstream::Error>()?;
    Some((error.error_code(), error.to_string()))
}

pub(super) fn unavailable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
