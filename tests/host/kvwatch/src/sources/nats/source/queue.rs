use std::collections::VecDeque;

use crate::serve::{Arrival, Position, Signal};

/// The signals that the loop has not taken yet, in order.
///
/// An arrival may be on probation: it is not known yet whether it is delivered as an event. Everything after it waits, because a
/// later event of its key may not come before it, and the gate may not open without it.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<Entry>);

#[derive(Debug)]
enum Entry {
    Ready(Signal),
    Probation(Arrival),
}

impl From<Signal> for Queue {
    fn from(signal: Signal) -> Self {
        Self(VecDeque::from([Entry::Ready(signal)]))
    }
}

impl Queue {
    pub(super) fn push(&mut self, signal: Signal) {
        self.0.push_back(Entry::Ready(signal));
    }

    pub(super) fn push_on_probation(&mut self, arrival: Arrival) {
        self.0.push_back(Entry::Probation(arrival));
    }

    /// Lets no event start any more. This does not wait, because the decision about an arrival on probation may never come.
    pub(super) fn close(&mut self) {
        self.0.retain(|entry| !matches!(entry, Entry::Ready(Signal::Open | Signal::Close)));
        self.0.push_front(Entry::Ready(Signal::Close));
    }

    /// Ends the probation of an arrival. It is removed unless `is_event` is true. Returns whether it was on probation.
    pub(super) fn decide(&mut self, position: Position, is_event: bool) -> bool {
        let is_it = |entry: &Entry| matches!(entry, Entry::Probation(arrival) if arrival.event.position == position);
        let Some(index) = self.0.iter().position(is_it) else { return false };
        if let Some(Entry::Probation(arrival)) = self.0.remove(index)
            && is_event
        {
            self.0.insert(index, Entry::Ready(Signal::Event(arrival)));
        }
        true
    }

    /// The next signal, if it is ready.
    pub(super) fn pop(&mut self) -> Option<Signal> {
        match self.0.pop_front()? {
            Entry::Ready(signal) => Some(signal),
            probation @ Entry::Probation(_) => {
                self.0.push_front(probation);
                None
            }
        }
    }

    /// Removes all events, and keeps the other signals.
    pub(super) fn remove_events(&mut self) {
        self.0.retain(|entry| !matches!(entry, Entry::Probation(_) | Entry::Ready(Signal::Event(_))));
    }

    /// Removes everything, and returns the events, in the order of their arrival.
    pub(super) fn clear(&mut self) -> Vec<Position> {
        let event = |entry| match entry {
            Entry::Ready(Signal::Event(arrival)) | Entry::Probation(arrival) => Some(arrival.event.position),
            Entry::Ready(_) => None,
        };
        self.0.drain(..).filter_map(event).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{Change, Event};

    fn arrival(sequence: u64) -> Arrival {
        let event = Event { position: Position::first(sequence), key: "k".into(), change: Change::Delete, depth: 0 };
        Arrival { event, deliveries: 1 }
    }

    fn popped(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop())
            .map(|signal| match signal {
                Signal::Event(arrival) => arrival.event.position.sequence,
                _ => 0,
            })
            .collect()
    }

    #[test]
    fn d2_everything_waits_for_the_event_on_probation_before_it() {
        let mut queue = Queue::default();
        queue.push_on_probation(arrival(1));
        queue.push_on_probation(arrival(2));
        queue.push(Signal::Event(arrival(3)));
        queue.push(Signal::Open);
        assert!(popped(&mut queue).is_empty());
        assert!(queue.decide(Position::first(2), true));
        assert!(popped(&mut queue).is_empty());
        assert!(queue.decide(Position::first(1), false));
        assert_eq!(popped(&mut queue), [2, 3, 0]);
        assert!(!queue.decide(Position::first(2), true));
    }

    #[test]
    fn d5_to_close_waits_for_nothing_and_lasts() {
        let mut queue = Queue::default();
        queue.push_on_probation(arrival(1));
        queue.push(Signal::Open);
        queue.close();
        assert!(matches!(queue.pop(), Some(Signal::Close)));
        queue.decide(Position::first(1), true);
        assert_eq!(popped(&mut queue), [1]);
    }

    #[test]
    fn events_are_removed_on_probation_or_not() {
        let mut queue = Queue::from(Signal::Close);
        queue.push_on_probation(arrival(1));
        queue.push(Signal::Event(arrival(2)));
        queue.remove_events();
        assert_eq!(popped(&mut queue), [0]);
        queue.push_on_probation(arrival(3));
        queue.push(Signal::Event(arrival(4)));
        assert_eq!(queue.clear(), [Position::first(3), Position::first(4)]);
        assert!(queue.pop().is_none());
    }
}
