use tokio::sync::mpsc;

use super::*;
use crate::serve::Arrival;

/// A source in memory, with a fault or without.
struct Memory {
    events: mpsc::UnboundedReceiver<Event>,
    fault: Fault,
    /// The first of two events in a row.
    held: Option<Event>,
    /// The next event, before the events of the channel.
    late: Option<Event>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DropsDeletes,
    SwapsNeighbours,
    PutsEachKeyUnderAnother,
    ReadsNothing,
}

impl Source for Memory {
    async fn next(&mut self) -> Result<Signal, Cause> {
        loop {
            if let Some(event) = self.late.take() {
                return Ok(Signal::Event(Arrival { event, deliveries: 1 }));
            }
            let mut event = match self.events.recv().await {
                Some(event) => event,
                None => std::future::pending().await,
            };
            match self.fault {
                Fault::DropsDeletes if event.change == Change::Delete => continue,
                // The older of two events in a row comes later, with the position of the newer one.
                Fault::SwapsNeighbours if &*event.key == "b" => {
                    let Some(held) = self.held.take() else {
                        self.held = Some(event);
                        continue;
                    };
                    let (older, newer) = (held.position, event.position);
                    self.late = Some(Event { position: newer, ..held });
                    event.position = older;
                }
                Fault::PutsEachKeyUnderAnother => event.key = format!("{}{}", event.key, event.position).into(),
                Fault::ReadsNothing if event.change != Change::Delete => event.change = Change::Set("".into()),
                _ => {}
            }
            return Ok(Signal::Event(Arrival { event, deliveries: 1 }));
        }
    }
}

struct Writer(mpsc::UnboundedSender<Event>, std::sync::atomic::AtomicU64);

impl Writer {
    fn send(&self, key: &str, change: Change) -> BoxFuture<'static, Result<(), Cause>> {
        let sequence = self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let event = Event { position: Position::first(sequence), key: key.into(), change, depth: 0 };
        let sent = self.0.send(event).map_err(|cause| cause.to_string().into());
        Box::pin(std::future::ready(sent))
    }
}

impl Client for Writer {
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), Cause>> {
        self.send(key, Change::Set(value.to_owned().into()))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Cause>> {
        self.send(key, Change::Delete)
    }
}

async fn with(fault: Fault) -> Result<(), String> {
    let (sender, events) = mpsc::unbounded_channel();
    conforms(&mut Memory { events, fault, held: None, late: None }, &Writer(sender, 1.into())).await
}

#[tokio::test(start_paused = true)]
async fn a_source_in_memory_conforms() {
    assert_eq!(with(Fault::None).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_source_with_a_fault_does_not() {
    for (fault, rule) in [
        (Fault::DropsDeletes, "D8: a delete is delivered"),
        (Fault::SwapsNeighbours, "D2: a key went back"),
        (Fault::PutsEachKeyUnderAnother, "D8: a set is delivered"),
        (Fault::ReadsNothing, "D8: a set is delivered"),
    ] {
        let error = with(fault).await.unwrap_err();
        assert!(error.starts_with(rule), "{rule}: {error}");
    }
}
