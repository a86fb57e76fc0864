//! Finds out whether a subscription is alive.

use std::time::Duration;

use redis::RedisError;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::serve::BoxFuture;

/// The interval between two pings.
const PROBE: Duration = Duration::from_secs(2);
/// If the server is silent for this time, the connection counts as lost.
pub(super) const SILENCE: Duration = Duration::from_secs(6);

/// The server has not answered in time, or has answered with an error.
pub(super) struct Silent(pub(super) Option<RedisError>);

/// Whether the subscription is alive.
pub(super) struct Pulse {
    ticks: Interval,
    ping: Option<(Instant, BoxFuture<'static, Result<(), RedisError>>)>,
}

impl Pulse {
    pub(super) fn new() -> Self {
        let mut ticks = tokio::time::interval_at(Instant::now() + PROBE, PROBE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, ping: None }
    }

    /// Notes that the subscription is alive. No answer is needed then.
    pub(super) fn beat(&mut self) {
        self.ping = None;
    }

    pub(super) fn ping(&mut self, ping: BoxFuture<'static, Result<(), RedisError>>) {
        self.ping.get_or_insert((Instant::now() + SILENCE, ping));
    }

    /// Waits until the next ping is due. Meanwhile it waits for the answer of an earlier ping.
    pub(super) async fn due(&mut self) -> Result<(), Silent> {
        loop {
            let Self { ticks, ping } = self;
            let answer = async {
                match ping {
                    Some((deadline, ping)) => tokio::time::timeout_at(*deadline, ping.as_mut()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                answered = answer => {
                    self.ping = None;
                    answered.map_err(|_| Silent(None))?.map_err(|error| Silent(Some(error)))?;
                }
                _ = ticks.tick() => return Ok(()),
            }
        }
    }
}
