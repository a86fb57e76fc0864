mod queue;
mod reactions;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::pull::{MessagesError, Stream as Messages};
use async_nats::jetstream::consumer::{Info, PullConsumer};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use self::queue::Queue;
use super::connection::{self, Change};
use super::consumer::{self, GROUP, Opened};
use super::error::Error;
use super::gate::{Gate, Question};
use super::unreachable_keys::Unreachable;
use super::{Settings, SubjectLetters};
use crate::serve::{Acked, BoxFuture, Cause, Escaped, Metrics, Position, Signal, Source, Waits, count};
use crate::sources::{AGAIN, without_wait};
use crate::stores::NatsStore;
use crate::units::millis;

/// The interval at which the server is asked for its count while the gate is closed, and at which the loop checks itself.
const BEAT: Duration = Duration::from_millis(100);
/// The time for which deliveries that are on their way are collected at the end.
const COLLECT: Duration = Duration::from_millis(50);

/// The events of a bucket.
///
/// All state belongs to the task that calls [`next`](Source::next). Requests to the server run in tasks of their own, and
/// report through one channel.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each tells of one task or of the connection, and all combinations occur"
)]
pub struct NatsSource {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    prefix: String,
    /// See [`Settings::writer`].
    writer: Arc<str>,
    client: Client,
    context: Context,
    gate: Gate,
    signals: Queue,
    stream: Stream,
    consumer: PullConsumer,
    messages: Option<Messages>,
    trust: watch::Sender<Trust>,
    last_new: u64,
    /// See [`Opened::replaced_up_to`].
    replaced_up_to: u64,
    /// The time at which the pull is opened again.
    reopen: Option<Instant>,
    reopen_waits: Waits,
    opening: bool,
    asking: bool,
    ask_at: Instant,
    keep_at: Instant,
    /// Whether the connection is lost, and there is no new one yet.
    lost: bool,
    searching: bool,
    /// The time of the next search for events that never arrive: after a reconnect, or when the gate stays closed.
    search_at: Option<Instant>,
    reports: mpsc::UnboundedReceiver<Report>,
    reporter: mpsc::UnboundedSender<Report>,
    changes: mpsc::UnboundedReceiver<Change>,
    beat: Interval,
}

/// The state that acks on their way depend on.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// The number of times that the consumer was made anew, or that the server forgot deliveries. See [`Position`]. Nobody waits for
    /// an ack of an older incarnation.
    incarnation: u32,
    /// Whether the server has shown on this connection that it knows the deliveries. Before that, another event may have got the
    /// sequence number of an event, and an ack would end the wrong event.
    verified: bool,
}

/// A report of a task to the source.
enum Report {
    Opened(Question, Result<Box<Opened>, Error>),
    Answered(Question, Result<Box<Info>, Cause>),
    Searched(Result<Vec<Unreachable>, Cause>),
    /// Whether a newer value of the event's key was in the bucket.
    Compared(Position, bool),
    /// The server has confirmed the ack of an event that is skipped.
    Skipped(Position),
}

impl NatsSource {
    /// Connects, finds the bucket, and finds or makes the consumer.
    ///
    /// # Errors
    ///
    /// If a setting is wrong, the store is missing (without [`Settings::wait`]), or the user has to decide something.
    pub async fn open(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, Error> {
        settings.check()?;
        let mut waits = AGAIN.forever();
        loop {
            match Self::open_once(&settings, &metrics).await {
                Err(error) if settings.wait && error.may_pass() => {
                    let wait = waits.next().unwrap_or(AGAIN.longest);
                    tracing::warn!(cause = %Escaped(&without_wait(&error)), wait_ms = millis(wait), "the store is not ready; waiting for it");
                    tokio::time::sleep(wait).await;
                }
                other => return other,
            }
        }
    }

    async fn open_once(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let (change_sender, changes) = mpsc::unbounded_channel();
        let (client, context) = connection::connect(settings, change_sender).await?;
        let version = || Escaped(&client.server_info().version).to_string();
        // The metadata of a consumer says where it started.
        if !client.is_server_compatible(2, 10, 0) {
            return Err(Error::TooOldServer { version: version() });
        }
        if !settings.shared && !client.is_server_compatible(2, 11, 0) {
            return Err(Error::OldServer { version: version() });
        }
        let opened = consumer::open(&context, settings).await?;
        let (reporter, reports) = mpsc::unbounded_channel();
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tracing::info!(bucket = settings.address.bucket(), consumer = settings.name, "watching");
        Ok(Self {
            settings: Arc::new(settings.clone()),
            metrics: Arc::clone(metrics),
            prefix: settings.prefix(),
            writer: settings.writer().into(),
            client,
            context,
            gate: Gate::default(),
            signals: if settings.shared { Queue::default() } else { Queue::from(Signal::Close) },
            stream: opened.stream,
            consumer: opened.consumer,
            messages: Some(opened.messages),
            trust: watch::Sender::new(Trust { incarnation: 0, verified: true }),
            last_new: 0,
            replaced_up_to: opened.replaced_up_to,
            reopen: None,
            reopen_waits: AGAIN.forever(),
            opening: false,
            asking: false,
            ask_at: Instant::now(),
            keep_at: Instant::now(),
            lost: false,
            searching: false,
            search_at: None,
            reports,
            reporter,
            changes,
            beat,
        })
    }

    /// Dead letters to a subject, over the connection of this source.
    #[must_use]
    pub fn letters(&self, subject: impl Into<String>) -> SubjectLetters {
        SubjectLetters { context: self.context.clone(), subject: subject.into() }
    }

    /// The buckets of the server, over the connection of this source.
    #[must_use]
    pub fn store(&self) -> NatsStore {
        NatsStore::new(self.context.clone(), Arc::clone(&self.writer))
    }

    /// Whether the connection to the store is up, for `/readyz`.
    #[must_use]
    pub fn connection(&self) -> Client {
        self.client.clone()
    }

    fn third(&self) -> Duration {
        self.settings.ack_wait / 3
    }

    fn incarnation(&self) -> u32 {
        self.trust.borrow().incarnation
    }

    fn position(&self, sequence: u64) -> Position {
        Position { incarnation: self.incarnation(), sequence }
    }

    /// Whether an event is of this incarnation. The gate's record has only such events.
    fn is_current(&self, position: Position) -> bool {
        position.incarnation == self.incarnation()
    }

    /// Sends naks, in ascending order.
    fn refuse(&self, replies: Vec<String>) -> impl Future<Output = ()> + Send + 'static {
        let client = self.client.clone();
        async move {
            for reply in replies {
                if client.publish(reply, "-NAK".into()).await.is_err() {
                    return;
                }
            }
        }
    }

    fn release(&mut self, positions: &[Position]) -> Vec<String> {
        let current: Vec<u64> = positions.iter().filter(|it| self.is_current(**it)).map(|it| it.sequence).collect();
        current.into_iter().filter_map(|sequence| self.gate.remove(sequence)).collect()
    }
}

impl Source for NatsSource {
    async fn next(&mut self) -> Result<Signal, Cause> {
        loop {
            if let Some(signal) = self.signals.pop() {
                return Ok(signal);
            }
            tokio::select! {
                biased;
                Some(report) = self.reports.recv() => self.report(report)?,
                Some(change) = self.changes.recv() => self.changed(change),
                _ = self.beat.tick() => self.tick(),
                item = next_message(&mut self.messages) => match item {
                    Some(Ok(message)) => self.message(&message),
                    Some(Err(error)) => self.failed(&error),
                    None => {
                        self.messages = None;
                        self.reopen();
                    }
                },
            }
        }
    }

    fn ack(&mut self, position: Position) -> BoxFuture<'static, Acked> {
        let reply = if self.is_current(position) { self.gate.ending(position.sequence) } else { None };
        let Some(reply) = reply else { return Box::pin(std::future::ready(Acked::Gone)) };
        let client = self.client.clone();
        let metrics = Arc::clone(&self.metrics);
        let (mut trust, verified) = (self.trust.subscribe(), self.trust.subscribe());
        Box::pin(async move {
            tokio::select! {
                () = confirm(&client, &reply, verified, &metrics) => Acked::Confirmed,
                _ = trust.wait_for(|now| now.incarnation != position.incarnation) => Acked::Gone,
            }
        })
    }

    fn acked(&mut self, position: Position) {
        self.release(&[position]);
    }

    fn give_back(&mut self, positions: &[Position]) {
        let replies = self.release(positions);
        tokio::spawn(self.refuse(replies));
    }

    fn forget(&mut self, positions: &[Position]) {
        self.release(positions);
    }

    fn lease(&self) -> Option<Duration> {
        (!self.settings.shared).then(|| self.third())
    }

    /// Drops the pull unread, because the messages that have arrived may belong to another process too.
    fn lapsed(&mut self) {
        self.gate.close();
        self.messages = None;
        let unread = self.signals.clear();
        self.release(&unread);
        self.reopen = Some(Instant::now());
    }

    /// No limit: the server limits the events in hand, and a process that does not pull loses its pin.
    fn capacity(&self) -> usize {
        usize::MAX
    }

    async fn close(&mut self, rest: &[Position]) {
        let leave = async {
            if !self.settings.shared
                && self.is_pinned().await
                && let Err(error) = self.stream.unpin_consumer(&self.settings.name, GROUP).await
            {
                tracing::warn!(cause = %Escaped(&error.to_string()), "cannot give up the work at once; another process takes over after a timeout");
            }
        };
        leave.await;
        let mut replies = self.release(rest);
        // The unread signals, and the deliveries that are still on their way.
        let unread = self.signals.clear();
        replies.extend(self.release(&unread));
        if let Some(mut messages) = self.messages.take() {
            let end = Instant::now() + COLLECT;
            while let Ok(Some(item)) = tokio::time::timeout_at(end, messages.next()).await {
                if let Ok(message) = item {
                    replies.extend(message.reply.as_ref().map(ToString::to_string));
                }
            }
        }
        let given_back = replies.len();
        let flushed = async {
            self.refuse(replies).await;
            self.client.flush().await
        };
        if let Ok(Ok(())) = tokio::time::timeout(connection::REQUEST_TIMEOUT, flushed).await {
            tracing::info!(given_back, "left the store");
        } else {
            tracing::warn!("cannot give back events; the store delivers them again after the ack wait");
        }
    }
}

impl NatsSource {
    async fn is_pinned(&self) -> bool {
        let info = self.stream.consumer_info(&self.settings.name).await;
        info.is_ok_and(|info| {
            let pin = info.priority_groups.first().and_then(|group| group.pinned_client_id.as_deref());
            pin.is_some() && pin == self.gate.pin()
        })
    }
}

async fn next_message(messages: &mut Option<Messages>) -> Option<Result<Message, MessagesError>> {
    match messages {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}

/// Sends an ack until the server confirms it. This uses a request, and not the library's own confirmed ack. That one is `Ok` even
/// if no server listens, because the consumer was deleted.
async fn confirm(client: &Client, reply: &str, mut trust: watch::Receiver<Trust>, metrics: &Metrics) {
    let mut waits = AGAIN.forever();
    loop {
        // If the source is gone, nobody waits for the ack.
        let _ = trust.wait_for(|now| now.verified).await;
        let Err(error) = client.request(reply.to_owned(), "+ACK".into()).await else { return };
        count(&metrics.ack_failures);
        tracing::debug!(cause = %error, "an ack was not confirmed; it is sent again");
        tokio::time::sleep(waits.next().unwrap_or(AGAIN.longest)).await;
    }
}
