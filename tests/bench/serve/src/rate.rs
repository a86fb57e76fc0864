//! Measures the rate at which a contender handles a backlog.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use wasmtime::{Result, ensure};

use crate::contender::{Contender, Programs};
use crate::server::Server;

/// The interval between two requests for the number of acknowledged events.
const POLL: Duration = Duration::from_millis(5);
/// The maximum time of a timed run. A slow contender does not reach the end of its backlog.
const TIMED: Duration = Duration::from_secs(3);
/// The maximum time of any other wait. No program needs nearly as long to start and to handle the events.
pub(crate) const LIMIT: Duration = Duration::from_mins(30);

/// A run of a contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) events_per_second: f64,
    /// The CPU time of an event, in microseconds.
    pub(crate) cpu_micros: f64,
}

/// Runs a contender on this number of events in the bucket `b`. The first events are not timed, because the program starts
/// then.
pub(crate) async fn measure(
    server: &Server,
    context: &Context,
    contender: Contender,
    programs: &Programs,
    events: u64,
) -> Result<Run> {
    let name = new_name();
    let program = contender.start(programs, server, "b", &name)?;
    let (begun, before) = until_acked(context, "b", &name, events, events / 20, LIMIT).await?;
    let computed = program.cpu_time()?;
    let (ended, after) = until_acked(context, "b", &name, events, events, TIMED).await?;
    let computed = program.cpu_time()?.saturating_sub(computed);
    drop(program);
    context.get_stream("KV_b").await?.delete_consumer(&name).await?;
    #[expect(clippy::cast_precision_loss, reason = "these are far fewer than 2^52")]
    let handled = (after - before) as f64;
    Ok(Run {
        events_per_second: handled / (ended - begun).as_secs_f64(),
        cpu_micros: computed.as_secs_f64() * 1e6 / handled,
    })
}

/// A name that no other run has.
pub(crate) fn new_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("run-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `due` of the `events` are acknowledged, or for the time `longest`. Returns the current time and the number of
/// acknowledged events.
pub(crate) async fn until_acked(
    context: &Context,
    bucket: &str,
    name: &str,
    events: u64,
    due: u64,
    longest: Duration,
) -> Result<(Instant, u64)> {
    let stream = context.get_stream(format!("KV_{bucket}")).await?;
    let begun = Instant::now();
    loop {
        // The program may not have created the consumer yet.
        let acked = match stream.consumer_info(name).await {
            Ok(info) => events - info.num_pending - info.num_ack_pending as u64,
            Err(_) => 0,
        };
        if acked >= due || begun.elapsed() > longest {
            ensure!(acked > 0, "no event was acknowledged within {longest:?}");
            return Ok((Instant::now(), acked));
        }
        tokio::time::sleep(POLL).await;
    }
}
