use std::collections::BTreeMap;

/// Decides when events may start (D5). It is a plain state machine, with a record of the events in hand.
///
/// After a takeover or a reconnect, the server delivers new events at once, and the events of the process before only
/// after the ack wait, in any order. A process that starts the first events that come breaks the order of keys. So the gate is closed
/// until everything that is pending in the server is in hand here.
///
/// The gate closes when:
///
/// - the pin of the messages changes: this process has just taken over;
/// - the consumer sequence of a message does not follow the last one: a delivery was lost, or went to another process;
/// - the connection was made anew, or the process stood still.
///
/// It opens when the server's count of pending events is not larger than the number of events in hand that the server had
/// delivered when it counted. Events whose ack is on its way do not count as in hand. The server may have the ack already, and
/// then the count could hide another event. Events that came after the count are not counted either.
///
/// A server may forget deliveries: it writes its record some time after the change, so a server that was killed, a new leader or
/// a restored backup has an older one. It delivers the forgotten events again in their turn, and until then it ignores their acks.
/// So no event in hand may wait for such an ack, and the record of the events in hand must be cleared: see [`Gate::is_forgotten`].
#[derive(Debug, Default)]
pub struct Gate {
    open: bool,
    pin: Option<String>,
    /// Whether the server has named another process that works, and no message has come here since.
    stands_by: bool,
    last: Option<u64>,
    held: BTreeMap<u64, Held>,
    /// The number of times that the gate closed.
    closings: u64,
    /// The number of messages.
    messages: u64,
    answer: Option<Count>,
}

#[derive(Debug)]
struct Held {
    consumer_sequence: u64,
    /// The number of the message, counted from 1.
    message: u64,
    reply: String,
    ending: bool,
}

/// The facts about a message.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The `Nats-Pin-Id`.
    pub pin: Option<&'a str>,
    /// The place of the event in the stream.
    pub stream_sequence: u64,
    /// The place of this delivery among all deliveries of the consumer.
    pub consumer_sequence: u64,
    /// The reply subject for its ack.
    pub reply: &'a str,
}

/// The effect of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the event is new here. Otherwise it is in hand, and only its reply subject changed.
    pub new: bool,
    /// Whether the message closed the open gate. The gate closes before the event comes.
    pub closes: bool,
    /// Whether the message opens the gate. The gate opens after the event comes.
    pub opens: bool,
}

/// The state of the gate when the server is asked about the consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// The number of times that the gate had closed. If it closed again since, the answer cannot open it.
    closings: u64,
    /// The number of messages that had come. The server must know them.
    messages: u64,
}

/// The server's answer about the consumer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The question that this answers; see [`Gate::question`].
    pub question: Question,
    /// The events that are delivered and not acknowledged.
    pub pending: usize,
    /// The last delivery.
    pub delivered: u64,
    /// The pin of the process that works, if there is one.
    pub pin: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    pending: usize,
    delivered: u64,
}

/// The effect of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing changes. The events in hand may be kept with in-progress acks.
    Keep,
    /// Events may start. The events in hand may be kept with in-progress acks.
    Open,
    /// Another process works now: the gate is closed, and everything that has not started goes back. This comes once, until a message
    /// comes here.
    GiveBack,
}

impl Gate {
    /// Takes a message.
    pub fn message(&mut self, message: Delivered<'_>) -> Verdict {
        let follows = self.last.is_some_and(|last| message.consumer_sequence == last + 1);
        let closes = (!follows || message.pin != self.pin.as_deref()) && self.close();
        self.pin = message.pin.map(str::to_owned);
        self.stands_by = false;
        self.last = Some(message.consumer_sequence);
        // If the event is in hand, the server has delivered it again: the ack wait was over, or the server forgot an ack.
        let ending = self.held.get(&message.stream_sequence).is_some_and(|held| held.ending);
        self.messages += 1;
        let held = Held {
            consumer_sequence: message.consumer_sequence,
            message: self.messages,
            reply: message.reply.to_owned(),
            ending,
        };
        let new = self.held.insert(message.stream_sequence, held).is_none();
        Verdict { new, closes, opens: self.try_open() }
    }

    /// Takes an answer of the server.
    pub fn answer(&mut self, answer: &Answer) -> Decision {
        if answer.question.closings == self.closings {
            if answer.pin.is_some() && answer.pin != self.pin {
                return self.stand_by();
            }
            self.answer = Some(Count { pending: answer.pending, delivered: answer.delivered });
        }
        if self.try_open() { Decision::Open } else { Decision::Keep }
    }

    /// Notes that another process works. Otherwise a standby would open its gate whenever no event is pending.
    fn stand_by(&mut self) -> Decision {
        if self.stands_by {
            return Decision::Keep;
        }
        self.close();
        self.pin = None;
        self.last = None;
        self.stands_by = true;
        Decision::GiveBack
    }

    /// Closes the gate: the connection is new, or the process stood still. Returns whether it was open.
    pub fn close(&mut self) -> bool {
        self.closings += 1;
        self.answer = None;
        std::mem::take(&mut self.open)
    }

    /// The question for a request that is sent now. Its answer must contain it.
    #[must_use]
    pub fn question(&self) -> Question {
        Question { closings: self.closings, messages: self.messages }
    }

    /// Whether the server has forgotten that it delivered an event that was in hand when the question was asked. The answer names
    /// the last event of the stream that was delivered. If so, drop all events that have not started, and wait for
    /// no ack. The server delivers these events again.
    #[must_use]
    pub fn is_forgotten(&self, question: Question, last_event: u64) -> bool {
        self.held.range(last_event.saturating_add(1)..).any(|(_, held)| held.message <= question.messages)
    }

    /// Whether the gate is closed, and an answer can open it.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.open && !self.held.is_empty()
    }

    /// The pin of the last message.
    #[must_use]
    pub fn pin(&self) -> Option<&str> {
        self.pin.as_deref()
    }

    /// Notes that the ack of the event will be sent now. Returns the reply subject.
    pub fn ending(&mut self, stream_sequence: u64) -> Option<String> {
        let held = self.held.get_mut(&stream_sequence)?;
        held.ending = true;
        Some(held.reply.clone())
    }

    /// Removes an event that is not in hand any more. Returns its reply subject.
    pub fn remove(&mut self, stream_sequence: u64) -> Option<String> {
        self.held.remove(&stream_sequence).map(|held| held.reply)
    }

    /// Forgets all events: the stream that they came from is gone.
    pub fn clear(&mut self) {
        self.close();
        self.held.clear();
        self.pin = None;
        self.stands_by = false;
        self.last = None;
    }

    /// Whether the event is in hand.
    #[must_use]
    pub fn holds(&self, stream_sequence: u64) -> bool {
        self.held.contains_key(&stream_sequence)
    }

    /// The stream sequences of all events in hand, in ascending order.
    #[must_use]
    pub fn sequences(&self) -> Vec<u64> {
        self.held.keys().copied().collect()
    }

    /// The reply subjects of the events that are kept with in-progress acks.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        self.held.values().filter(|held| !held.ending).map(|held| held.reply.clone()).collect()
    }

    /// The number of events in hand, up to this delivery, that the server certainly still counts as pending.
    #[must_use]
    pub fn counted(&self, delivered: u64) -> usize {
        self.held.values().filter(|held| !held.ending && held.consumer_sequence <= delivered).count()
    }

    /// Checks the last answer again when a message arrives: the server may have sent the message before the answer.
    fn try_open(&mut self) -> bool {
        if self.open {
            return false;
        }
        self.open = self.answer.is_some_and(|count| count.pending <= self.counted(count.delivered));
        self.open
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
