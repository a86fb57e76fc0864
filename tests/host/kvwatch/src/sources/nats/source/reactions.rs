//! The reactions of the source to messages, changes of the connection, beats and answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::connection::State;
use async_nats::header;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::Info;
use async_nats::jetstream::consumer::pull::{MessagesError, MessagesErrorKind};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::super::connection::Change;
use super::super::consumer::{self, Opened};
use super::super::gate::{Answer, Decision, Delivered, Question};
use super::super::message;
use super::super::unreachable_keys::{Search, Unreachable};
use super::{NatsSource, Report};
use crate::serve::{Arrival, Cause, Escaped, Event, Position, Signal, Source as _, count, gauge};
use crate::sources::{AGAIN, without_wait};
use crate::stores::{DEPTH, WRITER};

impl NatsSource {
    pub(super) fn message(&mut self, message: &Message) {
        self.reopen_waits = AGAIN.forever();
        let (Ok(info), Some(reply)) = (message.info(), &message.reply) else {
            tracing::warn!(subject = %Escaped(&message.subject), "a message that is not an event of the consumer is ignored");
            return;
        };
        let pin = message.headers.as_ref().and_then(|headers| headers.get_last(header::NATS_PIN_ID));
        let verdict = self.gate.message(Delivered {
            pin: pin.map(async_nats::HeaderValue::as_str),
            stream_sequence: info.stream_sequence,
            consumer_sequence: info.consumer_sequence,
            reply,
        });
        if verdict.closes && !self.settings.shared {
            tracing::info!(sequence = info.stream_sequence, "waiting until all pending events are here");
            self.signals.close();
            self.search_at = None;
        }
        if verdict.new {
            if info.delivered == 1 {
                self.count_gap(info.stream_sequence);
            }
            let (depth, is_own) = self.written_by_watcher(message);
            if is_own && !self.settings.feed {
                count(&self.metrics.own_writes);
                self.skip(self.position(info.stream_sequence));
                if verdict.opens {
                    self.opened();
                }
                return;
            }
            let key = message.subject.strip_prefix(self.prefix.as_str()).unwrap_or(&message.subject);
            let change = message::change(message.headers.as_ref(), &message.payload);
            let event = Event { position: self.position(info.stream_sequence), key: key.into(), change, depth };
            let arrival = Arrival { event, deliveries: u64::try_from(info.delivered).unwrap_or(1) };
            if info.stream_sequence <= self.replaced_up_to {
                self.compare(arrival, message.subject.to_string());
            } else {
                self.signals.push(Signal::Event(arrival));
            }
        }
        if verdict.opens {
            self.opened();
        }
    }

    /// The number of writes of watchers that led to a message, and whether this watcher wrote it.
    fn written_by_watcher(&self, message: &Message) -> (u32, bool) {
        let header = |name: &str| message.headers.as_ref()?.get(name).map(async_nats::HeaderValue::as_str);
        // Any client can write the header. A text that is not a number counts as the largest number.
        let depth = header(DEPTH).map_or(0, |depth| depth.parse().unwrap_or(u32::MAX));
        (depth, header(WRITER) == Some(&*self.writer))
    }

    /// Asks whether the bucket has a newer value of the key. If so, the event is skipped (`--since last`).
    fn compare(&mut self, arrival: Arrival, subject: String) {
        let position = arrival.event.position;
        self.signals.push_on_probation(arrival);
        let (stream, reporter) = (self.stream.clone(), self.reporter.clone());
        let mut trust = self.trust.subscribe();
        tokio::spawn(async move {
            let mut waits = AGAIN.forever();
            let replaced = async {
                loop {
                    match stream.get_last_raw_message_by_subject(&subject).await {
                        Ok(last) => return last.sequence > position.sequence,
                        // The message was removed meanwhile, for an unknown reason. It does no harm to deliver the value that
                        // arrived.
                        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return false,
                        Err(error) => {
                            tracing::debug!(cause = %Escaped(&error.to_string()), "the last value of a key is not known; asking again");
                            tokio::time::sleep(waits.next().unwrap_or(AGAIN.longest)).await;
                        }
                    }
                }
            };
            let replaced = tokio::select! {
                replaced = replaced => replaced,
                // The event was dropped. If it comes again, it is compared again.
                _ = trust.wait_for(|now| now.incarnation != position.incarnation) => return,
                () = reporter.closed() => return,
            };
            let _ = reporter.send(Report::Compared(position, replaced));
        });
    }

    fn compared(&mut self, position: Position, replaced: bool) {
        // The arrival may have been given back or forgotten meanwhile.
        if !self.signals.decide(position, !replaced) || !replaced {
            return;
        }
        count(&self.metrics.gaps);
        self.skip(position);
    }

    /// Acknowledges an event that is not delivered to a worker.
    fn skip(&mut self, position: Position) {
        let (ack, reporter) = (self.ack(position), self.reporter.clone());
        tokio::spawn(async move {
            ack.await;
            let _ = reporter.send(Report::Skipped(position));
        });
    }

    /// Counts the gaps between the sequence numbers of first deliveries. Without a filter, a gap is an event that was replaced or
    /// removed before.
    pub(super) fn count_gap(&mut self, sequence: u64) {
        if self.settings.keys.is_none() && self.last_new > 0 && sequence > self.last_new + 1 {
            self.metrics.gaps.fetch_add(sequence - self.last_new - 1, Ordering::Relaxed);
        }
        self.last_new = self.last_new.max(sequence);
    }

    pub(super) fn opened(&mut self) {
        if !self.settings.shared {
            tracing::info!("all pending events are here; events start");
            self.signals.push(Signal::Open);
        }
    }

    pub(super) fn failed(&mut self, error: &MessagesError) {
        match error.kind() {
            // This error repeats while the connection is down, and for some seconds after the server started again.
            MessagesErrorKind::MissingHeartbeat if self.client.connection_state() != State::Connected => {}
            _ => {
                tracing::warn!(cause = %Escaped(&error.to_string()), "the pull ended; it is opened anew");
                self.reopen();
            }
        }
    }

    /// Opens the pull again soon. Failures in a row make the waits grow.
    pub(super) fn reopen(&mut self) {
        if self.reopen.is_none() && !self.opening {
            self.reopen = Some(Instant::now() + self.reopen_waits.next().unwrap_or(AGAIN.longest));
        }
    }

    pub(super) fn changed(&mut self, change: Change) {
        match change {
            // Another process may take over while this one is cut off.
            Change::Disconnected => {
                self.lost = true;
                self.trust.send_modify(|trust| trust.verified = false);
                self.close_gate();
            }
            Change::Connected if self.lost => {
                self.lost = false;
                count(&self.metrics.reconnects);
                self.close_gate();
                self.reopen = Some(Instant::now());
                self.search_at = Some(Instant::now());
            }
            Change::Connected => {}
        }
    }

    pub(super) fn close_gate(&mut self) {
        if self.gate.close() && !self.settings.shared {
            self.signals.close();
        }
    }

    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        if !self.opening && self.reopen.is_some_and(|due| due <= now) {
            self.reopen = None;
            self.opening = true;
            let (context, settings, reporter) =
                (self.context.clone(), Arc::clone(&self.settings), self.reporter.clone());
            let question = self.gate.question();
            tokio::spawn(async move {
                let opened = consumer::open(&context, &settings).await.map(Box::new);
                let _ = reporter.send(Report::Opened(question, opened));
            });
        }
        let closed = !self.settings.shared && self.gate.is_waiting();
        if !self.asking && (closed || self.ask_at <= now) {
            self.asking = true;
            self.ask_at = now + self.third();
            let question = self.gate.question();
            let (stream, name, reporter) = (self.stream.clone(), self.settings.name.clone(), self.reporter.clone());
            tokio::spawn(async move {
                let answer = stream.consumer_info(name).await.map(Box::new).map_err(Cause::from);
                let _ = reporter.send(Report::Answered(question, answer));
            });
        }
        if closed && self.search_at.is_none() {
            self.search_at = Some(now + self.settings.ack_wait);
        }
    }

    pub(super) fn report(&mut self, report: Report) -> Result<(), Cause> {
        match report {
            Report::Opened(question, Ok(opened)) => {
                self.opening = false;
                self.replace(question, *opened);
            }
            Report::Opened(_, Err(error)) => {
                self.opening = false;
                if !error.may_pass() {
                    return Err(error.into());
                }
                tracing::warn!(cause = %Escaped(&without_wait(&error)), "the store is not ready; trying again");
                self.messages = None;
                self.reopen();
            }
            Report::Answered(question, Ok(info)) => {
                self.asking = false;
                self.answered(question, &info);
            }
            Report::Answered(_, Err(cause)) => {
                self.asking = false;
                tracing::debug!(cause = %Escaped(&cause.to_string()), "the server did not tell the state of the consumer");
            }
            Report::Compared(position, replaced) => self.compared(position, replaced),
            Report::Skipped(position) => self.acked(position),
            Report::Searched(found) => {
                self.searching = false;
                self.searched(found);
            }
        }
        Ok(())
    }

    /// Replaces the pull with a new one.
    fn replace(&mut self, question: Question, opened: Opened) {
        let before = self.consumer.cached_info().created;
        let info = opened.consumer.cached_info();
        if info.created != before {
            tracing::warn!("the bucket or its consumer was made anew; what was in hand of the old one is dropped");
            self.messages = None;
            self.start_anew();
        } else if self.gate.is_forgotten(question, info.delivered.stream_sequence) {
            self.messages = None;
            self.forget_deliveries();
        }
        self.trust.send_modify(|trust| trust.verified = !self.lost);
        // These messages have arrived on the old pull. Otherwise they would come again only after the ack wait.
        if let Some(mut old) = self.messages.take() {
            while let Some(Some(Ok(message))) = old.next().now_or_never() {
                self.message(&message);
            }
        }
        let Opened { stream, consumer, messages, replaced_up_to } = opened;
        self.stream = stream;
        self.consumer = consumer;
        self.messages = Some(messages);
        self.replaced_up_to = replaced_up_to;
    }

    /// Drops everything in hand. The server has forgotten it, or delivers it again.
    fn start_anew(&mut self) {
        self.close_gate();
        self.gate.clear();
        self.last_new = 0;
        // The signal comes before the new number, because the loop still has positions of the old incarnation.
        self.signals.remove_events();
        self.signals.push(Signal::Forget);
        self.trust.send_modify(|trust| trust.incarnation += 1);
    }

    /// Drops everything in hand, because the server has an older record of the consumer, or older data. With older data, other events
    /// may get the sequence numbers of events in hand.
    fn forget_deliveries(&mut self) {
        tracing::warn!(
            "the server has forgotten deliveries, as after a crash; what was in hand is dropped here and comes again"
        );
        self.start_anew();
    }

    fn answered(&mut self, question: Question, info: &Info) {
        gauge(&self.metrics.ack_pending, info.num_ack_pending);
        self.metrics.lag.store(info.num_pending, Ordering::Relaxed);
        if info.created != self.consumer.cached_info().created {
            self.reopen();
            return;
        }
        let pin = info.priority_groups.first().and_then(|group| group.pinned_client_id.clone());
        let ours = self.settings.shared || pin.is_none() || pin.as_deref() == self.gate.pin();
        self.search(info);
        if self.gate.is_forgotten(question, info.delivered.stream_sequence) {
            self.forget_deliveries();
            return;
        }
        if self.settings.shared {
            self.keep();
            return;
        }
        let delivered = info.delivered.consumer_sequence;
        match self.gate.answer(&Answer { question, pending: info.num_ack_pending, delivered, pin }) {
            Decision::Open => self.opened(),
            Decision::Keep => {}
            Decision::GiveBack => {
                tracing::info!(
                    "another process of this name works; this one stands by and gives back what has not started"
                );
                // This does not wait for the arrivals on probation: they would count as in hand until they are given back.
                let unread = self.signals.clear();
                self.metrics.given_back.fetch_add(unread.len() as u64, Ordering::Relaxed);
                self.give_back(&unread);
                self.signals.push(Signal::Close);
                self.signals.push(Signal::GiveBack);
            }
        }
        if ours {
            self.keep();
        }
    }

    /// Tells the server that the events in hand are alive, every third of the ack wait.
    pub(super) fn keep(&mut self) {
        let now = Instant::now();
        if self.keep_at > now {
            return;
        }
        // The next answer comes about a third later, and may come a little earlier.
        self.keep_at = now + self.third() / 2;
        let replies = self.gate.kept();
        if replies.is_empty() || self.client.connection_state() != State::Connected {
            return;
        }
        let client = self.client.clone();
        tokio::spawn(async move {
            for reply in replies {
                if client.publish(reply, "+WPI".into()).await.is_err() {
                    return;
                }
            }
        });
    }

    pub(super) fn search(&mut self, info: &Info) {
        let due = self.search_at.is_some_and(|due| due <= Instant::now());
        if !due || self.searching {
            return;
        }
        self.search_at = None;
        if info.num_ack_pending <= self.gate.counted(info.delivered.consumer_sequence) {
            return;
        }
        self.searching = true;
        let search = Search {
            client: self.client.clone(),
            context: self.context.clone(),
            stream: self.settings.address.stream(),
            consumer: self.settings.name.clone(),
            filter: self.settings.filter(),
            after: info.ack_floor.stream_sequence,
            last: info.delivered.stream_sequence,
            arrived: self.gate.sequences(),
            limit: self.settings.max_ack_pending as usize * 2,
        };
        let reporter = self.reporter.clone();
        tokio::spawn(async move {
            let _ = reporter.send(Report::Searched(search.run().await));
        });
    }

    pub(super) fn searched(&mut self, found: Result<Vec<Unreachable>, Cause>) {
        match found {
            Ok(found) => {
                for Unreachable { sequence, subject } in found {
                    count(&self.metrics.skipped_keys);
                    let key = subject.strip_prefix(&self.prefix).unwrap_or(&subject);
                    tracing::warn!(key = %Escaped(key), sequence, "the key of this event is not UTF-8; the event is skipped");
                }
            }
            Err(cause) => {
                tracing::warn!(cause = %Escaped(&cause.to_string()), "cannot look for events that do not arrive; trying again");
                self.search_at = Some(Instant::now() + self.third());
            }
        }
    }
}
