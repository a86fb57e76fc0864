use std::fmt;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config, Stream as Messages};
use async_nats::jetstream::consumer::{
    AckPolicy, Consumer, DeliverPolicy, Info, PriorityPolicy, PullConsumer, ReplayPolicy,
};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{ConsumerCreateStrictErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode};

use super::Settings;
use super::error::Error;

/// The priority group of all processes of one name.
pub(super) const GROUP: &str = "kvwatch";

/// The time for which the server waits for a pinned process that does not pull.
const PRIORITY_TIMEOUT: Duration = Duration::from_secs(2);
/// The duration of a pull. It must be well below the priority timeout, or the pin is lost between two pulls.
const EXPIRES: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_millis(500);
/// The number of events that one pull asks for. The server never sends more than the most unacknowledged events.
const BATCH: usize = 200;
/// The number of bytes that one pull asks for. It is more if the server's largest value needs it, because a larger value would
/// never come. The server cuts off a client for which it keeps 64 MiB (`max_pending`), and up to one and a half pulls are on
/// their way.
const BATCH_BYTES: usize = 16 << 20;

/// The start of a new consumer. An existing one continues where it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Since {
    /// It starts with the last value of each key. After that come all changes.
    #[default]
    Last,
    /// It starts with the whole history of the bucket.
    All,
    /// It starts with the next change.
    Now,
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            "all" => Ok(Self::All),
            "now" => Ok(Self::Now),
            _ => Err("it is `last`, `all` or `now`".into()),
        }
    }
}

/// A setting of an existing consumer that differs from the wanted one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The setting, with the flag that sets it.
    pub setting: &'static str,
    /// The value of the existing consumer.
    pub existing: String,
    /// The wanted value.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} and {} was asked for", self.setting, self.existing, self.wanted)
    }
}

/// The start of the consumer, in its metadata.
const SINCE: &str = "kvwatch-since";
/// The last event of the bucket when the consumer was made, in its metadata.
const MADE_AT: &str = "kvwatch-made-at";

/// The consumer that the settings ask for, of a bucket whose last event is `made_at`.
///
/// The server's own policy `last_per_subject` is not used. With it, `nats-server` 2.15.1 loses an event whenever the pull of
/// the pinned process ends while the pull of a standby waits: it takes the event from its list of last values, finds
/// no process that may get it, and does not put it back. So the consumer delivers everything, and kvwatch skips the values that
/// were replaced before the consumer was made. See [`Opened::replaced_up_to`].
pub(super) fn wanted(settings: &Settings, made_at: u64) -> Config {
    let pinned = !settings.shared;
    let metadata = [(SINCE, since(settings).to_owned()), (MADE_AT, made_at.to_string())];
    Config {
        durable_name: Some(settings.name.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: settings.ack_wait,
        max_deliver: -1,
        max_ack_pending: i64::from(settings.max_ack_pending),
        filter_subject: settings.filter(),
        deliver_policy: match settings.since {
            Since::Last | Since::All => DeliverPolicy::All,
            Since::Now => DeliverPolicy::New,
        },
        replay_policy: ReplayPolicy::Instant,
        priority_policy: if pinned { PriorityPolicy::PinnedClient } else { PriorityPolicy::None },
        priority_groups: if pinned { vec![GROUP.to_owned()] } else { Vec::new() },
        priority_timeout: if pinned { PRIORITY_TIMEOUT } else { Duration::ZERO },
        metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Config::default()
    }
}

fn since(settings: &Settings) -> &'static str {
    match settings.since {
        Since::Last => "last",
        Since::All => "all",
        Since::Now => "now",
    }
}

/// Compares field by field: the server would silently return a consumer with other settings. The other fields do
/// not change which events are delivered, in which order, and how often.
pub(super) fn differences(existing: &Config, wanted: &Config) -> Vec<Difference> {
    macro_rules! compare {
        ($($setting:literal: $field:ident,)*) => {
            [$(($setting, format!("{:?}", existing.$field), format!("{:?}", wanted.$field)),)*]
        };
    }
    let since = |config: &Config| config.metadata.get(SINCE).cloned().unwrap_or_else(|| "unknown".into());
    let begins = ("the start (--since)", since(existing), since(wanted));
    compare!(
        "the ack policy": ack_policy,
        "the ack wait (--ack-wait)": ack_wait,
        "the most deliveries of an event": max_deliver,
        "the most unacknowledged events (--max-ack-pending)": max_ack_pending,
        "the filter (--keys)": filter_subject,
        "the list of filters": filter_subjects,
        "the delivery policy": deliver_policy,
        "the replay policy": replay_policy,
        "the rate limit": rate_limit,
        "headers only": headers_only,
        "the largest pull": max_batch,
        "the largest pull in bytes": max_bytes,
        "the longest pull": max_expires,
        "the waits between deliveries": backoff,
        "the priority policy (--shared)": priority_policy,
        "the priority groups (--shared)": priority_groups,
        "the priority timeout (--shared)": priority_timeout,
    )
    .into_iter()
    .chain([begins])
    .filter(|(_, existing, wanted)| existing != wanted)
    .map(|(setting, existing, wanted)| Difference { setting, existing, wanted })
    .collect()
}

/// A consumer that was found or made, with a pull on it.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) consumer: PullConsumer,
    pub(super) messages: Messages,
    /// Up to this event, only the last value of a key is delivered (`--since last`). 0 if every value is delivered, or if the bucket
    /// keeps only the last value.
    pub(super) replaced_up_to: u64,
}

/// Finds the bucket, finds or makes the consumer, and begins to pull.
pub(super) async fn open(context: &Context, settings: &Settings) -> Result<Opened, Error> {
    let stream = find_bucket(context, settings).await?;
    let consumer = match find(&stream, settings).await? {
        Some(consumer) => consumer,
        None => make(&stream, settings).await?,
    };
    let largest = context.client().server_info().max_payload;
    let mut pull = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .max_bytes_per_batch(BATCH_BYTES.max(largest.saturating_mul(2)))
        .expires(EXPIRES)
        .heartbeat(HEARTBEAT);
    if !settings.shared {
        pull = pull.group(GROUP);
    }
    let messages = pull.messages().await.map_err(|cause| Error::Request {
        what: format!("pull from the consumer `{}`", settings.name),
        source: cause.into(),
    })?;
    let replaced_up_to = replaced_up_to(&stream, &consumer);
    Ok(Opened { stream, consumer, messages, replaced_up_to })
}

fn replaced_up_to(stream: &Stream, consumer: &PullConsumer) -> u64 {
    let metadata = &consumer.cached_info().config.metadata;
    if stream.cached_info().config.max_messages_per_subject == 1 || metadata.get(SINCE).is_none_or(|it| it != "last") {
        return 0;
    }
    metadata.get(MADE_AT).and_then(|sequence| sequence.parse().ok()).unwrap_or(0)
}

async fn find_bucket(context: &Context, settings: &Settings) -> Result<Stream, Error> {
    let address = &settings.address;
    context.get_stream(address.stream()).await.map_err(|error| match error.kind() {
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            Error::NoBucket { servers: address.servers(), bucket: address.bucket().to_owned() }
        }
        GetStreamErrorKind::JetStream(error) if is_no_jetstream(error.error_code()) => {
            Error::NoJetStream { servers: address.servers() }
        }
        GetStreamErrorKind::Request if is_no_responder(&error) => Error::NoJetStream { servers: address.servers() },
        _ => Error::Request { what: format!("look up the bucket `{}`", address.bucket()), source: error.into() },
    })
}

fn is_no_jetstream(code: ErrorCode) -> bool {
    [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT].contains(&code)
}

/// Whether no server listens on the subjects of `JetStream`'s requests. The library has this in the error's source.
fn is_no_responder(error: &(dyn std::error::Error + 'static)) -> bool {
    use async_nats::jetstream::context::{RequestError, RequestErrorKind};
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref::<RequestError>())
        .any(|error| error.kind() == RequestErrorKind::NoResponders)
}

async fn find(stream: &Stream, settings: &Settings) -> Result<Option<PullConsumer>, Error> {
    let info = match stream.consumer_info(&settings.name).await {
        Ok(info) => info,
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(request(settings, "look up", error)),
    };
    check(&info, settings)?;
    match stream.get_consumer(&settings.name).await {
        Ok(consumer) => Ok(Some(consumer)),
        Err(source) => Err(Error::Request { what: format!("use the consumer `{}`", settings.name), source }),
    }
}

async fn make(stream: &Stream, settings: &Settings) -> Result<PullConsumer, Error> {
    let made: Result<Consumer<Config>, _> =
        stream.create_consumer_strict(wanted(settings, stream.cached_info().state.last_sequence)).await;
    match made {
        Ok(consumer) => {
            tracing::info!(consumer = settings.name, since = since(settings), "made the consumer");
            Ok(consumer)
        }
        // Another process was faster, with other settings.
        Err(error) if error.kind() == ConsumerCreateStrictErrorKind::AlreadyExists => {
            find(stream, settings).await?.ok_or_else(|| request(settings, "make", error))
        }
        Err(error) => Err(request(settings, "make", error)),
    }
}

fn request(settings: &Settings, verb: &str, cause: impl Into<crate::serve::Cause>) -> Error {
    Error::Request { what: format!("{verb} the consumer `{}`", settings.name), source: cause.into() }
}

fn check(info: &Info, settings: &Settings) -> Result<(), Error> {
    let existing = &info.config;
    // The time at which the consumer was made is not a setting.
    let wanted = wanted(settings, 0);
    let mut differences =
        match <Config as async_nats::jetstream::consumer::FromConsumer>::try_from_consumer_config(existing.clone()) {
            Ok(existing) => differences(&existing, &wanted),
            Err(_) => Vec::new(),
        };
    if existing.deliver_subject.is_some() {
        differences.push(Difference { setting: "its kind", existing: "push".into(), wanted: "pull".into() });
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Differs { bucket: settings.address.bucket().to_owned(), name: settings.name.clone(), differences })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("nats://localhost/b".parse().unwrap(), "w")
    }

    #[test]
    fn equal_settings_have_no_difference() {
        assert_eq!(differences(&wanted(&settings(), 7), &wanted(&settings(), 8)), []);
    }

    #[test]
    fn each_setting_that_a_flag_changes_is_a_difference() {
        let base = wanted(&settings(), 7);
        let changed = |change: fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            differences(&base, &wanted(&settings, 8)).len()
        };
        assert_eq!(changed(|s| s.ack_wait = Duration::from_secs(30)), 1);
        assert_eq!(changed(|s| s.max_ack_pending = 7), 1);
        assert_eq!(changed(|s| s.keys = Some("users.>".into())), 1);
        assert_eq!(changed(|s| s.since = Since::All), 1);
        assert_eq!(changed(|s| s.shared = true), 3);
    }

    #[test]
    fn a_difference_is_told_in_words() {
        let error = Error::Differs {
            bucket: "b".into(),
            name: "w".into(),
            differences: vec![Difference {
                setting: "the ack wait (--ack-wait)",
                existing: "30s".into(),
                wanted: "5s".into(),
            }],
        };
        let text = error.to_string();
        assert!(text.contains("the ack wait (--ack-wait) is 30s and 5s was asked for"), "{text}");
        assert!(text.contains("nats consumer rm KV_b w"), "{text}");
    }
}
