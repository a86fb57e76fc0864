//! Follows one connection after the other, for ever.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::PubSubStream;
use redis::{Msg, RedisError, cmd};
use tokio::sync::mpsc;
use tokio::task::unconstrained;
use tokio::time::Instant;

use super::Settings;
use super::connect::{self, Link, Server, check_notifications};
use super::error::{Error, printable};
use super::known::Known;
use super::notice::{Meaning, meaning};
use super::pulse::{Pulse, SILENCE, Silent};
use super::reading::{Found, read};
use super::window::Window;
use crate::serve::{Change, Escaped, Event, Metrics, Position, Waits, count};
use crate::sources::{AGAIN, without_wait};
use crate::units::millis;

/// The most keys that are read at once. Large values make it fewer.
const BATCH: usize = 64;
/// The most bytes of values that are read at once, estimated from the last read.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// A key that has changed.
struct Notice {
    key: Arc<str>,
    is_gone: bool,
}

/// The reason why a connection cannot be used any more.
enum Lost {
    /// The source is gone, so nobody takes events.
    Unwanted,
    Closed,
    Silent,
    Failed(RedisError),
    Unannounced(Error),
}

impl From<RedisError> for Lost {
    fn from(error: RedisError) -> Self {
        Self::Failed(error)
    }
}

impl From<Silent> for Lost {
    fn from(Silent(error): Silent) -> Self {
        error.map_or(Self::Silent, Self::Failed)
    }
}

/// The task between the server and the source.
pub(super) struct Follow {
    settings: Settings,
    metrics: Arc<Metrics>,
    events: mpsc::Sender<Event>,
    connected: Arc<AtomicBool>,
    sequence: u64,
    /// The changes that were announced and not yet delivered. They stay when the connection is lost.
    notices: VecDeque<Notice>,
    batch: usize,
    /// The progress of a replay.
    replay: Option<Replay>,
    known: Option<Known>,
    told_type: bool,
    waits: Waits,
}

/// The steps of a replay.
enum Replay {
    Scan(u64),
    /// The scan is finished. The keys that it has not met follow.
    Ended,
}

impl Follow {
    pub(super) fn new(
        settings: Settings,
        metrics: Arc<Metrics>,
        events: mpsc::Sender<Event>,
        connected: Arc<AtomicBool>,
    ) -> Self {
        let known = settings.replay.then(Known::default);
        Self {
            settings,
            metrics,
            events,
            connected,
            sequence: 0,
            notices: VecDeque::new(),
            batch: BATCH,
            replay: None,
            known,
            told_type: false,
            waits: AGAIN.forever(),
        }
    }

    pub(super) async fn run(mut self, mut link: Link) {
        loop {
            self.begin_replay();
            let lost = self.follow(&mut link).await;
            self.connected.store(false, Ordering::Relaxed);
            let was_behind = link.window.was_behind();
            let cause = match lost {
                Lost::Unwanted => return,
                Lost::Closed if was_behind => "the server closed the connection while this process was behind".into(),
                Lost::Closed => "the server closed the connection".into(),
                Lost::Silent => format!("the server was silent for {SILENCE:?}"),
                Lost::Failed(error) => printable(&error),
                Lost::Unannounced(error) => Escaped::whole(&error.to_string()).to_string(),
            };
            tracing::warn!(cause, "the connection to the store is lost; connecting again");
            let since = Instant::now();
            let before = link.server.clone();
            drop(link);
            let Some(next) = self.connect_again().await else { return };
            link = next;
            count(&self.metrics.reconnects);
            self.connected.store(true, Ordering::Relaxed);
            self.report(&before, &link.server, since.elapsed(), was_behind);
        }
    }

    /// Tries for ever. `None` if the source is gone.
    async fn connect_again(&mut self) -> Option<Link> {
        loop {
            let wait = self.waits.next().unwrap_or(AGAIN.longest);
            tokio::select! {
                () = self.events.closed() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            match connect::connect(&self.settings).await {
                Ok(link) => return Some(link),
                // An administrator may repair the server. If this process ended, somebody would have to start it again.
                Err(error) => {
                    tracing::warn!(cause = %Escaped::whole(&without_wait(&error)), "cannot connect to the store; trying again");
                }
            }
        }
    }

    /// Logs the probable cause.
    fn report(&self, before: &Server, now: &Server, away: Duration, was_behind: bool) {
        let consequence = if self.settings.replay {
            "all keys are delivered again"
        } else {
            "what changed meanwhile is lost; with --replay, all keys would be delivered again"
        };
        let away_ms = millis(away);
        if before.run == now.run && was_behind {
            tracing::error!(
                away_ms,
                "connected to the store again: the server has cut off this subscriber, probably because handlers are slower \
                 than the changes and client-output-buffer-limit pubsub was reached; {consequence}"
            );
        } else if before.run == now.run {
            tracing::warn!(away_ms, "connected to the store again: the connection was cut; {consequence}");
        } else if now.uptime > away + Duration::from_secs(5) {
            tracing::warn!(
                away_ms,
                "connected to the store again: another server has its address now, as after a failover; {consequence}"
            );
        } else {
            tracing::warn!(away_ms, "connected to the store again: the server was restarted; {consequence}");
        }
        if now.is_replica && !before.is_replica {
            tracing::warn!("this server is a replica now: a watcher cannot write to it");
        }
    }

    fn begin_replay(&mut self) {
        if let Some(known) = &mut self.known {
            known.begin();
            self.replay = Some(Replay::Scan(0));
        }
    }

    /// Delivers the changes that this connection announces, until it is lost.
    async fn follow(&mut self, link: &mut Link) -> Lost {
        let mut pulse = Pulse::new();
        loop {
            let step = async {
                if !self.notices.is_empty() {
                    return self.deliver(link).await;
                }
                let events = self.events.clone();
                tokio::select! {
                    biased;
                    () = events.closed() => return Err(Lost::Unwanted),
                    message = next_message(&mut link.messages, &link.window) => {
                        pulse.beat();
                        self.take(&message.ok_or(Lost::Closed)?);
                        // Notices that have arrived already are read in the same step.
                        while self.notices.len() < self.batch {
                            let next = next_message(&mut link.messages, &link.window).now_or_never();
                            let Some(message) = next else { break };
                            self.take(&message.ok_or(Lost::Closed)?);
                        }
                    }
                    () = link.flushed.notified() => self.flushed(),
                    () = std::future::ready(()), if self.replay.is_some() => {
                        self.replay(link).await?;
                        pulse.beat();
                    }
                    due = pulse.due() => {
                        due?;
                        self.probe(link, &mut pulse).await?;
                    }
                }
                Ok(())
            };
            if let Err(lost) = step.await {
                return lost;
            }
        }
    }

    /// Notes the change that a message announces.
    fn take(&mut self, message: &Msg) {
        let event = message.get_channel_name().split_once("__:").map_or("", |(_, event)| event);
        let what = meaning(event);
        if what == Meaning::Same {
            return;
        }
        if let Some(key) = self.key(message.get_payload_bytes()) {
            self.notices.push_back(Notice { key, is_gone: what == Meaning::Gone });
        }
    }

    /// The key as text. A watcher gets keys as text, so other keys are skipped.
    fn key(&self, bytes: &[u8]) -> Option<Arc<str>> {
        let Ok(key) = std::str::from_utf8(bytes) else {
            count(&self.metrics.skipped_keys);
            let key = bytes[..bytes.len().min(200)].escape_ascii();
            tracing::warn!(%key, "a key is skipped, because it is not UTF-8; the key is shortened to 200 bytes");
            return None;
        };
        Some(key.into())
    }

    /// Delivers the oldest notices. They stay until their values are read.
    async fn deliver(&mut self, link: &mut Link) -> Result<(), Lost> {
        let size = self.batch.min(self.notices.len());
        let changed: Vec<Arc<str>> =
            self.notices.iter().take(size).filter(|notice| !notice.is_gone).map(|it| Arc::clone(&it.key)).collect();
        let mut found = self.read(link, &changed).await?.into_iter();
        let notices: Vec<Notice> = self.notices.drain(..size).collect();
        for Notice { key, is_gone } in notices {
            let found = if is_gone { None } else { found.next() };
            match found {
                None => self.send(key, Change::Delete).await?,
                Some(Found::Text(value)) => self.send(key, Change::Set(value)).await?,
                // Redis announces the end of the key too.
                Some(Found::Nothing) => count(&self.metrics.gaps),
                Some(Found::Other(kind)) => self.other(key, &kind).await?,
            }
        }
        Ok(())
    }

    /// One step of the replay.
    async fn replay(&mut self, link: &mut Link) -> Result<(), Lost> {
        match self.replay {
            None => {}
            Some(Replay::Scan(cursor)) => {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("COUNT").arg(self.batch);
                let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut link.commands).await?;
                let keys: Vec<Arc<str>> = keys.iter().filter_map(|key| self.key(key)).collect();
                self.deliver_now(link, &keys).await?;
                self.replay = Some(if next == 0 { Replay::Ended } else { Replay::Scan(next) });
            }
            Some(Replay::Ended) => {
                let keys = self.known.as_ref().map(|known| known.unseen(self.batch)).unwrap_or_default();
                if keys.is_empty() {
                    self.replay = None;
                    tracing::info!("all keys of the database are delivered");
                }
                self.deliver_now(link, &keys).await?;
            }
        }
        Ok(())
    }

    /// Delivers the present values of these keys.
    async fn deliver_now(&mut self, link: &mut Link, keys: &[Arc<str>]) -> Result<(), Lost> {
        // A scan may return more keys than this process asked for.
        let mut rest = keys;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.batch.min(rest.len()));
            for (key, found) in now.iter().zip(self.read(link, now).await?) {
                let key = Arc::clone(key);
                match found {
                    Found::Text(value) => self.send(key, Change::Set(value)).await?,
                    Found::Nothing => self.gone(key).await?,
                    Found::Other(kind) => self.other(key, &kind).await?,
                }
            }
            rest = later;
        }
        Ok(())
    }

    async fn read(&mut self, link: &mut Link, keys: &[Arc<str>]) -> Result<Vec<Found>, Lost> {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        // If the values are too large to come in time, the next connection reads one value at a time at first.
        let batch = mem::replace(&mut self.batch, 1);
        let found = read(&mut link.commands, &keys).await?;
        let bytes: usize = found.iter().map(|found| if let Found::Text(value) = found { value.len() } else { 0 }).sum();
        let fits = keys.len() * BATCH_BYTES / bytes.max(1);
        self.batch = (batch * 2).min(fits).clamp(1, BATCH);
        Ok(found)
    }

    /// Handles a key that has a value of another type. If the watcher knows the key, it was a string before.
    async fn other(&mut self, key: Arc<str>, kind: &str) -> Result<(), Lost> {
        count(&self.metrics.skipped_types);
        if !mem::replace(&mut self.told_type, true) {
            tracing::warn!(
                key = %Escaped(&key), kind = %Escaped(kind),
                "a watcher gets strings only: keys of other types are skipped and counted, and this is the only line about it"
            );
        }
        self.gone(key).await
    }

    /// Delivers the end of a key that Redis has not announced, if the watcher knows the key.
    async fn gone(&mut self, key: Arc<str>) -> Result<(), Lost> {
        if self.known.as_mut().is_some_and(|known| known.gone(&key)) {
            self.send(key, Change::Delete).await?;
        }
        Ok(())
    }

    fn flushed(&mut self) {
        if self.settings.replay {
            tracing::warn!(
                "all keys of a database were deleted (FLUSHDB or FLUSHALL): the keys that are gone are delivered as deleted"
            );
            self.begin_replay();
        } else {
            tracing::warn!(
                "all keys of a database were deleted (FLUSHDB or FLUSHALL), and Redis does not say which: they are not delivered; \
                 with --replay they would be"
            );
        }
    }

    /// Sends an event. Waits while the loop has no room.
    async fn send(&mut self, key: Arc<str>, change: Change) -> Result<(), Lost> {
        if let Some(known) = &mut self.known {
            if let Change::Set(_) = change {
                if known.set(&key) {
                    tracing::warn!(
                        "the database has more keys than kvwatch keeps in memory: keys that are deleted while kvwatch is away, or by \
                         FLUSHDB, are not delivered as deleted"
                    );
                }
            } else {
                known.gone(&key);
            }
        }
        self.sequence += 1;
        let depth = self.settings.depth_of.depth(&key);
        let event = Event { position: Position::first(self.sequence), key, change, depth };
        self.events.send(event).await.map_err(|_| Lost::Unwanted)
    }

    /// Asks the server for its state.
    async fn probe(&mut self, link: &mut Link, pulse: &mut Pulse) -> Result<(), Lost> {
        let now = Server::info(&mut link.commands).await?;
        if now.is_replica != link.server.is_replica {
            let role = if now.is_replica { "a replica, and a watcher cannot write to it" } else { "the primary" };
            tracing::warn!("the server has another role now, as after a failover: it is {role}");
        }
        link.server = now;
        check_notifications(&self.settings, &mut link.commands).await.map_err(Lost::Unannounced)?;
        // The connection has lasted for some time, so the waits start again.
        self.waits = AGAIN.forever();
        let mut sink = link.sink.clone();
        pulse.ping(Box::pin(async move { sink.ping().await }));
        Ok(())
    }
}

/// The next message. If there is none, all messages that were read have been taken, and the window is opened again.
async fn next_message(messages: &mut PubSubStream, window: &Window) -> Option<Msg> {
    let next = poll_fn(|context| match messages.poll_next_unpin(context) {
        Poll::Pending => {
            window.reopen();
            Poll::Pending
        }
        ready @ Poll::Ready(_) => ready,
    });
    // With its budget, tokio may report that there is no message although there is one.
    unconstrained(next).await
}
