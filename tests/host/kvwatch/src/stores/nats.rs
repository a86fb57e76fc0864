//! The store behind a bucket of NATS `JetStream`.

mod key;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::{Context, ErrorCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use inbound_keyvalue_host::Content;
use inbound_keyvalue_host::store::{Answer, Store, StoreError, number};

pub use self::key::{DEPTH, WRITER};
use self::key::{Decision, check_new_key, unavailable};
use super::Depth;
use crate::serve::Change;
use crate::sources::nats::change;

/// The most bytes of keys that `get-keys` collects.
const MOST_KEYS: usize = 64 << 20;
/// `get-keys` fails if the server sends nothing for this time.
const SILENCE: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, StoreError>;

/// The buckets of a NATS server with `JetStream`. A clone uses the same connection.
///
/// | function | on this store |
/// |---|---|
/// | `get`, `exists`, `get-keys` | `get` and `exists` read what the leader of the stream has. `get-keys` is not a snapshot: it may or may not contain keys that change meanwhile |
/// | `set` | atomic; the last writer wins |
/// | `delete`, `increment`, `compare-and-swap` | atomic, by the revision of the key, with 200 attempts under contention |
/// | `get-many`, `set-many` | an error, or one key after another with [`allow_partial_batches`](Self::allow_partial_batches) |
/// | `delete-many` | one key after another. The draft does not promise more |
///
/// If the answer to a call is lost, the call fails with [`StoreError::Unavailable`], and the server may have done it. If the
/// event is tried again, an `increment` counts twice.
///
/// NATS has whole messages and not streams. So a value is in memory as a whole, and the server's `max_payload` limits it.
#[derive(Clone, Debug)]
pub struct NatsStore {
    context: Context,
    writer: Arc<str>,
    depth: Depth,
    partial_batches: bool,
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

    /// Lets `get-many` and `set-many` work one key after another. Other clients can see such a call half done, and a failure
    /// leaves it half done.
    #[must_use]
    pub fn allow_partial_batches(mut self, allowed: bool) -> Self {
        self.partial_batches = allowed;
        self
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

    async fn set_key(&self, bucket: &str, key: &str, content: &Content) -> Result<()> {
        check_new_key(key)?;
        // The length is checked first, because the content may be large.
        if content.len() > self.context.client().server_info().max_payload as u64 {
            return Err(self.too_large());
        }
        let bytes = content.read(0, content.len());
        let bytes = bytes.map_err(|cause| StoreError::Refused(format!("the value cannot be read: {cause}")))?;
        self.write(bucket, key, Some(bytes.into()), None).await.map(drop)
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

    /// The later answer of a future that uses this store.
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

fn parsed(key: &str, value: &[u8]) -> Result<u64> {
    number(value).ok_or_else(|| StoreError::NotANumber(key.to_owned()))
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
