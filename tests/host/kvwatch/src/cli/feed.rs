//! `--feed`: the changes of a watcher in the watched bucket come back to it as events.

use std::collections::VecDeque;

use kvwatch::Outcome;
use kvwatch::world::{Change, Event};

use super::stats::plural;

/// The most changes that come back after one event of the source.
const MOST_EVENTS: u64 = 10_000;

/// The most bytes of changes that wait.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// The changes that come back to the watcher after one event of the source.
#[derive(Debug)]
pub(crate) struct Feed {
    depth: u32,
    waiting: VecDeque<(u32, Event)>,
    waiting_bytes: u64,
    taken: u64,
    /// The numbers of changes that did not come back: those of the round after the last one, and the others.
    too_deep: u64,
    too_many: u64,
    /// A key that was changed in the round after the last one.
    example: Option<String>,
}

impl Feed {
    /// Changes come back up to the round `depth`.
    pub(crate) fn new(depth: u32) -> Self {
        let waiting = VecDeque::new();
        Self { depth, waiting, waiting_bytes: 0, taken: 0, too_deep: 0, too_many: 0, example: None }
    }

    /// Adds the changes that the watcher made in `bucket` in an event of this round. The source's events are round 0.
    pub(crate) fn add(&mut self, round: u32, bucket: &str, outcome: &Outcome) {
        // Changes that the outcome does not list may be in any bucket.
        self.too_many += outcome.change_count - outcome.changes().len() as u64;
        for change in outcome.changes().iter().filter(|change| change.bucket == bucket) {
            let event = &change.event;
            let bytes = size(event);
            if round >= self.depth {
                self.too_deep += 1;
                self.example.get_or_insert_with(|| event.key.clone());
            } else if self.taken + self.waiting.len() as u64 >= MOST_EVENTS || self.waiting_bytes + bytes > MOST_BYTES {
                self.too_many += 1;
            } else {
                self.waiting_bytes += bytes;
                self.waiting.push_back((round + 1, event.clone()));
            }
        }
    }

    /// The next change that comes back, and its round.
    pub(crate) fn next(&mut self) -> Option<(u32, Event)> {
        let (round, event) = self.waiting.pop_front()?;
        self.waiting_bytes -= size(&event);
        self.taken += 1;
        Some((round, event))
    }

    /// Says why some changes did not come back. `None` if all did.
    pub(crate) fn stopped(&self, bucket: &str) -> Option<String> {
        let Self { depth, too_deep, too_many, .. } = self;
        let deep = self.example.as_ref().map(|key| {
            format!(
                "--feed {depth} has ended: in round {depth} the watcher made {} of {bucket:?}, for example of the key {key:?}, \
                 and kvwatch does not give it back. A watcher that writes the keys that it watches must ignore its own writes, \
                 or it runs for ever. If it only needs more rounds, give a larger DEPTH",
                plural(*too_deep, "more change")
            )
        });
        let many = (*too_many > 0).then(|| {
            format!(
                "--feed left out {}: after one event, at most {MOST_EVENTS} changes come back, and kvwatch keeps at most 4096 \
                 changes of an event",
                plural(*too_many, "change")
            )
        });
        let all: Vec<_> = deep.into_iter().chain(many).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }
}

fn size(event: &Event) -> u64 {
    let content = if let Change::Set(content) = &event.change { content.len() } else { 0 };
    content.saturating_add(event.key.len() as u64)
}
