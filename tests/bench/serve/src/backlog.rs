//! Measures the memory and the time that kvwatch and the server need for a backlog of a million keys.

use std::time::Instant;

use wasmtime::Result;

use crate::contender::{Contender, Programs};
use crate::rate::{LIMIT, new_name, until_acked};
use crate::server::{Server, fill};
use crate::shortened;

/// The number of keys, unless [`VARIABLE`] has another number.
const EVENTS: u64 = 1_000_000;
const VARIABLE: &str = "KVWATCH_BACKLOG";
const PAYLOAD: usize = 100;

/// Measures a backlog. Returns a table of the results.
pub(crate) async fn measure(programs: &Programs) -> Result<String> {
    let events = std::env::var(VARIABLE).ok().map_or(Ok(shortened(EVENTS)), |number| number.parse())?;
    let mut server = Server::start().await?;
    let context = server.bucket("b").await?;
    let empty = server.memory()?;
    let begun = Instant::now();
    fill(&context, "b", PAYLOAD, 0..events).await?;
    let filled = begun.elapsed();
    let full = server.memory()?;
    let stored = context.get_stream("KV_b").await?.cached_info().state.bytes;
    let name = new_name();
    let program = Contender::Kvwatch(1).start(programs, &server, "b", &name)?;
    let (begun, before) = until_acked(&context, "b", &name, events, events / 10, LIMIT).await?;
    let early = program.peak_memory()?;
    let (ended, after) = until_acked(&context, "b", &name, events, events, LIMIT).await?;
    let late = program.peak_memory()?;
    drop(program);
    let restart = server.restart("b").await?;
    let restarted = server.memory()?;
    #[expect(clippy::cast_precision_loss, reason = "these are far fewer than 2^52")]
    let [rate, puts, mebibytes @ ..] = [
        (after - before) as f64 / (ended - begun).as_secs_f64(),
        events as f64 / filled.as_secs_f64(),
        early as f64 / f64::from(1 << 20),
        late as f64 / f64::from(1 << 20),
        empty as f64 / f64::from(1 << 20),
        full as f64 / f64::from(1 << 20),
        restarted as f64 / f64::from(1 << 20),
    ];
    let [early, late, empty, full, restarted] = mebibytes;
    let rows = [
        ("kvwatch, the most memory after a tenth".to_owned(), format!("{early:.1} MiB")),
        ("kvwatch, the most memory at the end".to_owned(), format!("{late:.1} MiB")),
        ("kvwatch, events per second with 1 worker".to_owned(), format!("{rate:.0}")),
        ("nats-server, memory without an event".to_owned(), format!("{empty:.1} MiB")),
        ("nats-server, memory with all keys".to_owned(), format!("{full:.1} MiB")),
        ("nats-server, memory after a restart with all keys".to_owned(), format!("{restarted:.1} MiB")),
        ("nats-server, bytes of a key and its value on disk".to_owned(), (stored / events).to_string()),
        ("nats-server, time to start with all keys".to_owned(), format!("{:.2} s", restart.as_secs_f64())),
        ("puts per second of one client, confirmed".to_owned(), format!("{puts:.0}")),
    ];
    let lines = rows.map(|(what, figure)| format!("| {what} | {figure} |\n")).concat();
    Ok(format!("A backlog of {events} keys of {PAYLOAD} B:\n\n| what | figure |\n|---|---:|\n{lines}"))
}
