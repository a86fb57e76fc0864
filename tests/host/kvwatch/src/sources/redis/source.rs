use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::Settings;
use super::connect;
use super::error::Error;
use super::follow::Follow;
use crate::serve::{Arrival, Cause, Escaped, Event, Metrics, Position, Signal, Source};
use crate::sources::{AGAIN, without_wait};
use crate::units::millis;

/// Events that are read ahead of the loop.
const AHEAD: usize = 32;

/// The changes of a database.
///
/// A separate task follows the server, and waits while the loop has no room. Then the server's buffer for this subscriber fills,
/// and in the end the server closes the connection.
#[derive(Debug)]
pub struct RedisSource {
    events: mpsc::Receiver<Event>,
    capacity: usize,
    replay: bool,
    connected: Arc<AtomicBool>,
    task: AbortHandle,
}

impl RedisSource {
    /// Connects, and checks that the server announces changes.
    ///
    /// # Errors
    ///
    /// If a setting is wrong, the store is missing (without [`Settings::wait`]), or the server does not announce changes.
    pub async fn open(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, Error> {
        settings.check()?;
        let mut waits = AGAIN.forever();
        let link = loop {
            match connect::connect(&settings).await {
                Err(error) if settings.wait && error.may_pass() => {
                    let wait = waits.next().unwrap_or(AGAIN.longest);
                    tracing::warn!(cause = %Escaped::whole(&without_wait(&error)), wait_ms = millis(wait), "the store is not ready; waiting for it");
                    tokio::time::sleep(wait).await;
                }
                other => break other?,
            }
        };
        tracing::info!(
            address = %settings.address, version = link.server.version, replay = settings.replay,
            "watching, at most once: Redis does not keep what changes while kvwatch is away{}",
            if settings.replay { "; all keys are delivered at every connection" } else { "" }
        );
        let (sender, events) = mpsc::channel(AHEAD);
        let connected = Arc::new(AtomicBool::new(true));
        let (capacity, replay) = (settings.max_in_hand as usize, settings.replay);
        let follow = Follow::new(settings, metrics, sender, Arc::clone(&connected));
        let task = tokio::spawn(follow.run(link).in_current_span()).abort_handle();
        Ok(Self { events, capacity, replay, connected, task })
    }

    /// Asks whether the connection to the store is up, for `/readyz`.
    pub fn is_connected(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let connected = Arc::clone(&self.connected);
        move || connected.load(Ordering::Relaxed)
    }
}

impl Drop for RedisSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Source for RedisSource {
    async fn next(&mut self) -> Result<Signal, Cause> {
        match self.events.recv().await {
            Some(event) => Ok(Signal::Event(Arrival { event, deliveries: 1 })),
            None => Err("the connection to the store ended in a panic, which is a fault of kvwatch".into()),
        }
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    async fn close(&mut self, rest: &[Position]) {
        self.task.abort();
        let mut lost = rest.len();
        while self.events.try_recv().is_ok() {
            lost += 1;
        }
        if lost > 0 && self.replay {
            tracing::warn!(events = lost, "these events were not handled; the next start delivers all keys again");
        } else if lost > 0 {
            tracing::warn!(events = lost, "these events are lost: Redis does not keep them, and --replay is not set");
        }
    }
}
