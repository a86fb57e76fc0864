use async_nats::Client;
use async_nats::jetstream::Context;
use serde::{Deserialize, Serialize};

use crate::serve::Cause;

/// Finds events whose key is not UTF-8, and ends them.
///
/// The client library drops the connection when the server delivers such a message. So the event never arrives, and is delivered
/// again and again. The server's answer to `STREAM.MSG.GET` is JSON, in which U+FFFD replaces each byte that is not UTF-8. So the
/// message exists, its subject contains U+FFFD, and no message has exactly this subject.
pub(super) struct Search {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) stream: String,
    pub(super) consumer: String,
    pub(super) filter: String,
    /// The events after this sequence were delivered and are not acknowledged.
    pub(super) after: u64,
    /// The last event that was delivered.
    pub(super) last: u64,
    /// Events that arrived, in ascending order. They need no search.
    pub(super) arrived: Vec<u64>,
    /// The most messages that are searched.
    pub(super) limit: usize,
}

/// An event that can never arrive, and that was ended.
#[derive(Debug)]
pub(super) struct Unreachable {
    pub(super) sequence: u64,
    /// The subject, with U+FFFD in place of the bytes that are not UTF-8.
    pub(super) subject: String,
}

#[derive(Serialize)]
struct Get<'a> {
    seq: u64,
    next_by_subj: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    message: Option<Found>,
}

#[derive(Deserialize)]
struct Found {
    subject: String,
    seq: u64,
}

const REPLACEMENT: char = '\u{fffd}';

impl Search {
    pub(super) async fn run(self) -> Result<Vec<Unreachable>, Cause> {
        let mut found = Vec::new();
        let mut next = self.after + 1;
        for _ in 0..self.limit {
            let Some(message) = self.get(next, &self.filter).await?.filter(|message| message.seq <= self.last) else {
                break;
            };
            next = message.seq + 1;
            if !message.subject.contains(REPLACEMENT) || self.arrived.binary_search(&message.seq).is_ok() {
                continue;
            }
            let same = self.get(message.seq, &message.subject).await?;
            if same.is_none_or(|same| same.seq != message.seq) {
                self.end(message.seq).await?;
                found.push(Unreachable { sequence: message.seq, subject: message.subject });
            }
        }
        Ok(found)
    }

    async fn get(&self, seq: u64, next_by_subj: &str) -> Result<Option<Found>, Cause> {
        let subject = format!("STREAM.MSG.GET.{}", self.stream);
        let reply: Reply = self.context.request(subject, &Get { seq, next_by_subj }).await?;
        Ok(reply.message)
    }

    /// Ends the event. There is no message with a reply subject, so kvwatch makes the subject itself. The server reads the
    /// consumer and the stream sequence from it.
    async fn end(&self, sequence: u64) -> Result<(), Cause> {
        let subject = format!("$JS.ACK.{}.{}.1.{sequence}.{sequence}.0.0", self.stream, self.consumer);
        self.client.request(subject, "+TERM the key is not UTF-8".into()).await?;
        Ok(())
    }
}
