//! The changes of a bucket as the watcher sees them: deletes, expiries, filters, starts.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;

use super::access::{folder, handles};
use super::programs::logged;
use super::{LONG, drained, pause, put, put_many, setup, tests};
use crate::nats_server::{self, Server, free_port};
use crate::program::{self, Program};
use crate::record::{self, Failure, tail, wait_for};
use crate::watcher::{Options, Process};

tests!(
    d8_deletes_purges_and_expiries_of_a_real_bucket_are_deletes,
    d8_replaced_values_of_a_bucket_without_history_are_skipped_and_counted,
    keys_are_filtered_in_the_server,
    since_now_brings_only_what_comes_later,
);

async fn d8_deletes_purges_and_expiries_of_a_real_bucket_are_deletes() -> Result<(), Failure> {
    let server = Server::start().await?;
    let context = server.context().await?;
    let markers = Some(std::time::Duration::from_mins(1));
    let config =
        Config { allow_message_ttl: true, subject_delete_marker_ttl: markers, ..nats_server::bucket("b", 1000) };
    context.create_stream(config).await?;
    let folder = tempfile::tempdir()?;
    let options = Options::new(&server.url(), "b", folder.path());
    let _process = Process::start(&options)?;
    let send = async |key: &str, headers: &[(&str, &str)], value: &'static str| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let sent = context.publish_with_headers(format!("$KV.b.{key}"), map, value.into()).await?;
        Ok::<_, Failure>(sent.await?.sequence)
    };
    send("deleted", &[], "1").await?;
    send("purged", &[], "2").await?;
    send("expired", &[("Nats-TTL", "1s")], "3").await?;
    wait_for(folder.path(), 3, LONG).await?;
    send("deleted", &[("KV-Operation", "DEL")], "").await?;
    send("purged", &[("KV-Operation", "PURGE"), ("Nats-Rollup", "sub")], "").await?;
    // The server itself writes the sixth event.
    wait_for(folder.path(), 6, LONG).await?;
    drained(&context, folder.path(), LONG).await?;
    let mut seen: Vec<_> =
        record::read(folder.path()).into_iter().filter(|it| it.end).map(|it| (it.sequence, it.key, it.value)).collect();
    seen.sort();
    let text: Vec<String> = seen.iter().map(|(number, key, value)| format!("{number} {key} {value}")).collect();
    let due =
        ["1 deleted 1", "2 purged 2", "3 expired 3", "4 deleted deleted", "5 purged deleted", "6 expired deleted"];
    if text == due { Ok(()) } else { Err(format!("{text:?}").into()) }
}

async fn d8_replaced_values_of_a_bucket_without_history_are_skipped_and_counted() -> Result<(), Failure> {
    const VALUES: u64 = 50;
    let server = Server::start().await?;
    let context = server.bucket("b", 1).await?;
    let folder = folder()?;
    let folder = folder.path();
    let port = free_port();
    let from = format!("{}/b", server.url());
    let arguments = ["watcher.wasm", "--from", &from, "--name", "audit", "--listen", &port.to_string()];
    put(&context, "first", "v").await?;
    let program = Program::start_with(folder, &arguments, [])?;
    handles(folder, &context).await?;
    // No event is delivered to a process that stands still, and each value replaces the one before.
    program.signal("-STOP")?;
    pause(3000).await;
    put_many(&context, 1, VALUES).await?;
    program.signal("-CONT")?;
    handles(folder, &context).await?;
    let (_, metrics) = program::get(port, "/metrics").await?;
    let value = |name: &str| -> Option<u64> {
        let line = metrics.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let (received, replaced) = (value("kvwatch_received_total"), value("kvwatch_replaced_total"));
    let (Some(received), Some(replaced)) = (received, replaced) else { return Err(metrics.into()) };
    // Every put was delivered or is counted. An event that came twice counts as received twice.
    let all = 3 + VALUES;
    if replaced == 0 || replaced >= VALUES || received + replaced < all {
        return Err(format!("{received} received and {replaced} replaced of {all}\n{}", tail(folder)).into());
    }
    Ok(())
}

async fn keys_are_filtered_in_the_server() -> Result<(), Failure> {
    let (server, context, _, _) = setup().await?;
    let folder = folder()?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    let arguments = ["watcher.wasm", "--from", &from, "--name", "audit", "--keys", "users.*", "--since", "all"];
    for key in ["users.ada", "orders.1", "users.ada.name", "users.grace"] {
        put(&context, key, "v").await?;
    }
    let _program = Program::start_with(folder, &arguments, [])?;
    logged(folder, "users.grace").await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    let info = context.get_stream("KV_b").await?.consumer_info("audit").await?;
    let delivered = info.delivered.consumer_sequence;
    if delivered != 2 || !log.contains("users.ada") || log.contains("orders.1") || log.contains("users.ada.name") {
        return Err(format!("{delivered} events were delivered\n{log}").into());
    }
    Ok(())
}

async fn since_now_brings_only_what_comes_later() -> Result<(), Failure> {
    let (server, context, _, _) = setup().await?;
    let folder = folder()?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    put(&context, "old", "v").await?;
    let arguments = ["watcher.wasm", "--from", &from, "--name", "audit", "--since", "now"];
    let mut program = Program::start_with(folder, &arguments, [])?;
    logged(folder, "\"message\":\"watching\"").await?;
    put(&context, "new", "v").await?;
    logged(folder, "\"key\":\"new\"").await?;
    program.signal("-TERM")?;
    program.end().await?;
    // The name continues at the same place, and delivers the events in between.
    put(&context, "between", "v").await?;
    let _program = Program::start_with(folder, &arguments, [])?;
    logged(folder, "\"key\":\"between\"").await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    if log.contains("\"key\":\"old\"") || log.matches("\"key\":\"new\"").count() != 1 {
        return Err(log.into());
    }
    Ok(())
}
