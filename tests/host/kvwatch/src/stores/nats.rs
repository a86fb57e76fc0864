//! The store behind a bucket of NATS `JetStream`.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::{GetStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use inbound_keyvalue_host::Content;
use inbound_keyvalue_host::store::{Answer, Store, StoreError, number};

use super::Depth;
use crate::serve::{Change, Escaped, Retry};
use crate::sources::nats::change;

/// The header of a write that names the watcher: its bucket and its `--name`.
pub const WRITER: &str = "Kvwatch-Writer";
/// The header of a write that counts the writes of watchers that led to it, itself included.
pub const DEPTH: &str = "Kvwatch-Depth";

/// How often an atomic function tries, and its waits in between. Of all writers of a key at least one succeeds in each round, so
/// this is enough for some hundred writers that never pause.
const CONTENTION: Retry = Retry { attempts: 200, first: Duration::from_millis(1), longest: Duration::from_millis(50) };
/// The most bytes of keys that `get-keys` collects.
const MOST_KEYS: usize = 64 << 20;
/// `get-keys` fails if the server sends nothing for this time.
const SILENCE: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, StoreError>;

/// The buckets of a NATS server with `JetStream`. A clone uses the same connection.
///
/// | function | on this store |
/// |---|---|
/// | `get`, `exists`, `get-keys` | `get` and `exists` read what the leader of the stream has. `get-keys` is not a snapshot: keys that change meanwhile are there or not |
/// | `set` | atomic; the last writer wins |
/// | `delete`, `increment`, `compare-and-swap` | atomic, by the revision of the key, with 200 attempts under contention |
/// | `get-many`, `set-many` | an error, or one key after another with [`allow_partial_batches`](Self::allow_partial_batches) |
/// | `delete-many` | one key after another. The draft does not promise more |
///
/// A call whose answer is lost fails with [`StoreError::Unavailable`], and may have been done. An `increment` of an event that is
/// tried again is then counted twice.
///
/// NATS has whole messages, not streams: a value is in memory as a whole, and the server's `max_payload` bounds it.
#[derive(Clone, Debug)]
pub struct NatsStore {
    context: Context,
    writer: Arc<str>,
    depth: Depth,
    partial_batches: bool,
}

/// The last message of a key.
struct Last {
    revision: u64,
    value: Option<Bytes>,
}

impl NatsStore {
    /// All buckets that this connection reaches. `writer` names the watcher in each write.
    pub fn new(context: Context, writer: impl Into<Arc<str>>) -> Self {
        Self { context, writer: writer.into(), depth: Depth::default(), partial_batches: false }
    }

    /// The store of one worker, which sets `depth` before each event.
    #[must_use]
    pub fn of_worker(mut self, depth: Depth) -> Self {
        self.depth = depth;
        self
    }

    /// Lets `get-many` and `set-many` work one key after another. Others see such a call half done, and a failure leaves it half
    /// done.
    #[must_use]
    pub fn allow_partial_batches(mut self, allowed: bool) -> Self {
        self.partial_batches = allowed;
        self
    }

    async fn stream(&self, bucket: &str) -> Result<Stream<()>> {
        let stream = self.context.get_stream_no_info(format!("KV_{bucket}")).await;
        stream.map_err(|_| StoreError::NoBucket(bucket.to_owned()))
    }

    async fn open_bucket(&self, bucket: &str) -> Result<()> {
        self.context.get_stream(format!("KV_{bucket}")).await.map(drop).map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                StoreError::NoBucket(bucket.to_owned())
            }
            GetStreamErrorKind::InvalidStreamName | GetStreamErrorKind::EmptyName => {
                StoreError::NoBucket(bucket.to_owned())
            }
            GetStreamErrorKind::JetStream(error) => StoreError::Refused(format!("NATS refused the call: {error}")),
            GetStreamErrorKind::Request => unavailable(&error),
        })
    }

    /// The last message of a key. `None`: there never was one, or it was purged.
    async fn last(&self, bucket: &str, key: &str) -> Result<Option<Last>> {
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

    async fn value(&self, bucket: &str, key: &str) -> Result<Bytes> {
        self.last(bucket, key).await?.and_then(|last| last.value).ok_or_else(|| StoreError::NoKey(key.to_owned()))
    }

    /// Writes a message for a key, if its last one is `expected`. Whether it was.
    async fn write(&self, bucket: &str, key: &str, value: Option<Bytes>, expected: Option<u64>) -> Result<bool> {
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

    fn too_large(&self) -> StoreError {
        let most = self.context.client().server_info().max_payload;
        StoreError::Full(format!("the server takes at most {most} bytes of a value and its headers (max_payload)"))
    }

    async fn set_key(&self, bucket: &str, key: &str, content: &Content) -> Result<()> {
        check_new_key(key)?;
        // Checked before the content is read, which may be large.
        if content.len() > self.context.client().server_info().max_payload as u64 {
            return Err(self.too_large());
        }
        let bytes = content.read(0, content.len());
        let bytes = bytes.map_err(|cause| StoreError::Refused(format!("the value cannot be read: {cause}")))?;
        self.write(bucket, key, Some(bytes.into()), None).await.map(drop)
    }

    /// Reads a key, decides on its new value, and writes it if no other writer was faster. Otherwise it begins again.
    async fn update<T>(
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

    async fn delete_key(&self, bucket: &str, key: &str) -> Result<()> {
        self.update(bucket, key, |value| match value {
            Some(_) => Ok(Decision::Write(None, ())),
            None => Err(StoreError::NoKey(key.to_owned())),
        })
        .await
    }

    async fn all_keys(&self, bucket: &str) -> Result<Vec<String>> {
        let prefix = format!("$KV.{bucket}.");
        let config = OrderedConfig {
            filter_subject: format!("{prefix}>"),
            headers_only: true,
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        };
        let consumer = self.stream(bucket).await?.create_consumer(config).await;
        let consumer = consumer.map_err(|error| unavailable(&error))?;
        let (mut keys, mut bytes) = (Vec::new(), 0);
        if consumer.cached_info().num_pending == 0 {
            return Ok(keys);
        }
        let mut messages = consumer.messages().await.map_err(|error| unavailable(&error))?;
        loop {
            let silent = |_| StoreError::Unavailable("the server stopped in the middle of the keys".to_owned());
            let Some(message) = tokio::time::timeout(SILENCE, messages.next()).await.map_err(silent)? else {
                return Err(StoreError::Unavailable("the server ended the list of keys early".to_owned()));
            };
            let message = message.map_err(|error| unavailable(&error))?;
            if let Some(key) = message.subject.strip_prefix(&*prefix)
                && matches!(change(message.headers.as_ref(), &Bytes::new()), Change::Set(_))
            {
                bytes += key.len();
                if bytes > MOST_KEYS {
                    return Err(StoreError::Full(format!("the keys of the bucket exceed {MOST_KEYS} bytes together")));
                }
                keys.push(key.to_owned());
            }
            let info = message.info().map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
            if info.pending == 0 {
                return Ok(keys);
            }
        }
    }

    /// An answer of a future that has this store.
    fn later<T, F>(&self, work: impl FnOnce(Self) -> F) -> Answer<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Answer::later(work(self.clone()))
    }

    fn batch(&self, function: &str) -> Result<()> {
        if self.partial_batches {
            return Ok(());
        }
        Err(StoreError::Unsupported(format!(
            "`{function}` is atomic by the draft, and NATS has no such function; call it for each key, or serve with \
             --allow-partial-batches to have it one key after another"
        )))
    }
}

/// What an atomic function makes of the value that it found.
enum Decision<T> {
    Keep(T),
    /// The new value; `None` deletes the key.
    Write(Option<Bytes>, T),
}

fn parsed(key: &str, value: &[u8]) -> Result<u64> {
    number(value).ok_or_else(|| StoreError::NotANumber(key.to_owned()))
}

/// The subject of a key. Keys that other clients have put may have any character that a subject can have.
fn subject(bucket: &str, key: &str) -> Result<String> {
    let is_part = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control() || "*>".contains(c))
    };
    if key.split('.').all(is_part) { Ok(format!("$KV.{bucket}.{key}")) } else { Err(bad_key(key)) }
}

/// What is written must have a key that all clients of NATS can read.
fn check_new_key(key: &str) -> Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_=.".contains(&byte);
    if key.bytes().all(is_allowed) && key.split('.').all(|part| !part.is_empty()) { Ok(()) } else { Err(bad_key(key)) }
}

fn bad_key(key: &str) -> StoreError {
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

fn unavailable(error: &dyn std::error::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

impl Store for NatsStore {
    fn open(&self, bucket: &str) -> Answer<()> {
        let bucket = bucket.to_owned();
        self.later(|store| async move { store.open_bucket(&bucket).await })
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.later(|store| async move { store.value(&bucket, &key).await.map(Content::from) })
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.later(|store| async move { store.set_key(&bucket, &key, &content).await })
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.later(|store| async move { store.delete_key(&bucket, &key).await })
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.later(|store| async move { Ok(store.last(&bucket, &key).await?.is_some_and(|last| last.value.is_some())) })
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.later(|store| async move {
            check_new_key(&key)?;
            store
                .update(&bucket, &key, |value| {
                    let now = value.map_or(Ok(0), |value| parsed(&key, &value))?;
                    let sum = now.checked_add(delta).ok_or_else(|| StoreError::Overflow(key.clone()))?;
                    Ok(Decision::Write(Some(sum.to_string().into()), sum))
                })
                .await
        })
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.later(|store| async move {
            store
                .update(&bucket, &key, |value| {
                    let value = value.ok_or_else(|| StoreError::NoKey(key.clone()))?;
                    if parsed(&key, &value)? == old {
                        Ok(Decision::Write(Some(new.to_string().into()), true))
                    } else {
                        Ok(Decision::Keep(false))
                    }
                })
                .await
        })
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        let (bucket, keys) = (bucket.to_owned(), keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>());
        self.later(|store| async move {
            store.batch("get-many")?;
            let mut contents = Vec::new();
            for key in &keys {
                contents.push(store.value(&bucket, key).await?.into());
            }
            Ok(contents)
        })
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        let bucket = bucket.to_owned();
        self.later(|store| async move { store.all_keys(&bucket).await })
    }

    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()> {
        let bucket = bucket.to_owned();
        self.later(|store| async move {
            store.batch("set-many")?;
            for (key, content) in &pairs {
                store.set_key(&bucket, key, content).await?;
            }
            Ok(())
        })
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        let (bucket, keys) = (bucket.to_owned(), keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>());
        self.later(|store| async move {
            for key in &keys {
                match store.delete_key(&bucket, key).await {
                    Ok(()) | Err(StoreError::NoKey(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }
}
