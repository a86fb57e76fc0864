//! Measures the time from a put until the server has the ack of its event.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_nats::Message;
use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use tokio::time::{MissedTickBehavior, timeout};
use wasmtime::error::Context as _;
use wasmtime::{Result, ensure};

use crate::contender::{Contender, Programs};
use crate::rate::new_name;
use crate::server::Server;
use crate::shortened;

/// The number of first events that are not counted, because the program is cold.
const WARM_UP: usize = 500;
const EVENTS: u64 = 5_000;
const INTERVAL: Duration = Duration::from_millis(1);
const PAYLOAD: usize = 100;
/// The maximum wait for an ack. No event takes nearly as long.
const LIMIT: Duration = Duration::from_mins(1);

/// Measures the latency of every contender. Returns a table with a line for each contender.
pub(crate) async fn measure(programs: &Programs) -> Result<String> {
    let events = shortened(EVENTS);
    let mut table = format!(
        "Latency from put to ack, {events} events of {PAYLOAD} B, one every {INTERVAL:?}:\n\n| | p50 | p99 |\n|---|---:|---:|\n"
    );
    for contender in Contender::ALL {
        let histogram =
            latencies(programs, contender, usize::try_from(events)?).await.with_context(|| contender.name())?;
        #[expect(clippy::cast_precision_loss, reason = "these are microseconds")]
        let millis = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        writeln!(table, "| {} | {:.2} ms | {:.2} ms |", contender.name(), millis(0.5), millis(0.99))?;
    }
    Ok(table)
}

/// Measures the latencies of a contender, in microseconds.
async fn latencies(programs: &Programs, contender: Contender, events: usize) -> Result<Histogram<u64>> {
    let server = Server::start().await?;
    let context = server.bucket("b").await?;
    let name = new_name();
    // The acks show when an event was handled, in the same way for all contenders.
    let mut acks = context.client().subscribe(format!("$JS.ACK.KV_b.{name}.>")).await?;
    let _program = contender.start(programs, &server, "b", &name)?;

    let client = context.client();
    let value = bytes::Bytes::from(vec![b'x'; PAYLOAD]);
    // The events have the numbers 1, 2, 3… in the stream, because no other client puts events.
    client.publish("$KV.b.first", value.clone()).await?;
    next_ack(&mut acks).await?;
    let mut put = Vec::new();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut acked = vec![None; WARM_UP + events];
    let mut left = acked.len();
    while left > 0 {
        tokio::select! {
            sequence = next_ack(&mut acks) => {
                let now = Instant::now();
                let place = acked.get_mut(sequence? - 2).context("an ack of an event that was not put")?;
                if place.replace(now).is_none() {
                    left -= 1;
                }
            }
            _ = ticks.tick(), if put.len() < WARM_UP + events => {
                put.push(Instant::now());
                client.publish(format!("$KV.b.key.{}", put.len()), value.clone()).await?;
                client.flush().await?;
            }
        }
    }
    let mut histogram = Histogram::new(3).context("cannot create the histogram")?;
    for (put, acked) in put.iter().zip(&acked).skip(WARM_UP) {
        let acked = acked.context("an event was not acknowledged")?;
        histogram.record(u64::try_from((acked - *put).as_micros())?).context("a latency is out of range")?;
    }
    Ok(histogram)
}

/// Waits for the next ack. Returns the number of its event.
async fn next_ack(acks: &mut async_nats::Subscriber) -> Result<usize> {
    loop {
        let ack = timeout(LIMIT, acks.next()).await.context("no ack arrived")?.context("the connection is lost")?;
        // Both forms are acks. Other messages do not acknowledge the event.
        if ack.payload.is_empty() || ack.payload.starts_with(b"+ACK") {
            return sequence(&ack);
        }
    }
}

/// Returns the number of an event from the subject of its ack: `$JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.…`.
fn sequence(ack: &Message) -> Result<usize> {
    let parts: Vec<_> = ack.subject.split('.').collect();
    ensure!(parts.len() == 9, "the subject of an ack has an unexpected format: {}", ack.subject);
    Ok(parts[5].parse()?)
}
