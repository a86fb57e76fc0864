//! Buckets and keys: missing, empty, large, made anew, and keys that are not text.

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use kvwatch::serve::{self, BoxFuture, Cause};
use kvwatch::sources::nats::{NatsSource, Settings};

use super::{LONG, drained, pause, put, put_many, setup, tests};
use crate::nats_server::Server;
use crate::record::{self, Failure, check, check_order, wait_for};
use crate::watcher::{Options, Process, Start};

tests!(
    source_conforms_like_every_source,
    since_last_skips_old_values_and_loses_nothing_while_standbys_pull,
    d8_key_that_is_not_utf8_does_not_stop_the_others,
    bucket_removed_and_created_again,
    missing_store_has_its_own_exit_code_and_wait_waits,
    a_hundred_restarts_leave_one_consumer_and_other_settings_are_refused,
);

/// Changes keys of the bucket.
struct Writer(Context);

impl serve::Client for Writer {
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            put(&self.0, key, value).await.map_err(|cause| cause.to_string())?;
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Cause>> {
        Box::pin(async move {
            let mut headers = HeaderMap::new();
            headers.insert("KV-Operation", "DEL");
            self.0.publish_with_headers(format!("$KV.b.{key}"), headers, "".into()).await?.await?;
            Ok(())
        })
    }
}

async fn source_conforms_like_every_source() -> Result<(), Failure> {
    let (server, context, _folder, _) = setup().await?;
    for shared in [false, true] {
        let name = if shared { "shared" } else { "pinned" };
        let mut settings = Settings::new(format!("{}/b", server.url()).parse()?, name);
        settings.shared = shared;
        let mut source = NatsSource::open(settings, std::sync::Arc::default()).await?;
        serve::conforms(&mut source, &Writer(context.clone())).await?;
        // The suite needs a store without keys.
        context.get_stream("KV_b").await?.purge().await?;
    }
    Ok(())
}

async fn d8_key_that_is_not_utf8_does_not_stop_the_others() -> Result<(), Failure> {
    use tokio::io::AsyncWriteExt as _;
    let (server, context, folder, options) = setup().await?;
    put(&context, "a", "1").await?;
    let mut raw = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await?;
    raw.write_all(b"CONNECT {}\r\nPUB $KV.b.caf\xe9 1\r\nv\r\nPUB $KV.b.esc\x1b[31m 1\r\nv\r\n").await?;
    raw.flush().await?;
    pause(300).await;
    // A key that really contains U+FFFD is a good one.
    put(&context, "ok\u{fffd}", "2").await?;
    put_many(&context, 20, 100).await?;
    let _process = Process::start(&options)?;
    wait_for(folder.path(), 103, LONG).await?;
    for _ in 0..100 {
        let log = std::fs::read_to_string(folder.path().join("log"))?;
        if log.contains("is not UTF-8; the event is skipped") {
            if log.contains('\u{1b}') {
                return Err("the log has a control character".into());
            }
            return check(folder.path(), 104, &[2]);
        }
        pause(100).await;
    }
    Err("the log does not name the key".into())
}

async fn bucket_removed_and_created_again() -> Result<(), Failure> {
    let (server, context, folder, options) = setup().await?;
    put_many(&context, 5, 50).await?;
    let mut process = Process::start(&options)?;
    wait_for(folder.path(), 50, LONG).await?;
    for gap in [0, 1500] {
        context.delete_stream("KV_b").await?;
        pause(gap).await;
        server.bucket("b", 1000).await?;
        let before = record::read(folder.path()).len();
        put_many(&context, 5, 50).await?;
        for _ in 0..400 {
            if record::read(folder.path()).len() >= before + 100 {
                break;
            }
            pause(50).await;
        }
        let lines = record::read(folder.path());
        let again: std::collections::BTreeSet<u64> =
            lines[before..].iter().filter(|it| it.end).map(|it| it.sequence).collect();
        if again.len() != 50 {
            let log = std::fs::read_to_string(folder.path().join("log"))?;
            return Err(format!("{} of 50 events of the new bucket came\n{log}", again.len()).into());
        }
    }
    process.signal("-TERM")?;
    if process.end().await? != 0 {
        return Err("the process failed".into());
    }
    Ok(())
}

async fn missing_store_has_its_own_exit_code_and_wait_waits() -> Result<(), Failure> {
    let server = Server::start().await?;
    let folder = tempfile::tempdir()?;
    let mut options = Options::new(&server.url(), "b", folder.path());
    let code = Process::start(&options)?.end().await?;
    let log = std::fs::read_to_string(folder.path().join("log"))?;
    if code != 4 || !log.contains("has no bucket `b`") {
        return Err(format!("exit code {code}: {log}").into());
    }
    options.url = "nats://127.0.0.1:1".into();
    let code = Process::start(&options)?.end().await?;
    if code != 4 {
        return Err(format!("exit code {code} without a server").into());
    }
    options.url = server.url();
    options.wait = true;
    let _process = Process::start(&options)?;
    pause(1000).await;
    let context = server.bucket("b", 10).await?;
    put(&context, "a", "1").await?;
    wait_for(folder.path(), 1, LONG).await
}

async fn a_hundred_restarts_leave_one_consumer_and_other_settings_are_refused() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    for number in 1..=100 {
        put(&context, "a", "v").await?;
        let mut process = Process::start(&options)?;
        wait_for(folder.path(), number, LONG).await?;
        process.signal("-TERM")?;
        if process.end().await? != 0 {
            return Err("the process failed".into());
        }
    }
    let consumers = context.get_stream("KV_b").await?.cached_info().state.consumer_count;
    if consumers != 1 {
        return Err(format!("{consumers} consumers").into());
    }
    options.ack_wait = 7000;
    let code = Process::start(&options)?.end().await?;
    let log = std::fs::read_to_string(folder.path().join("log"))?;
    if code != 1 || !log.contains("the ack wait (--ack-wait) is 2s and 7s was asked for") {
        return Err(format!("exit code {code}: {log}").into());
    }
    check_order(folder.path())
}

/// With the server's own policy for last values, this loses an event at the end of almost every pull.
async fn since_last_skips_old_values_and_loses_nothing_while_standbys_pull() -> Result<(), Failure> {
    const KEYS: u64 = 5000;
    let (mut server, context, folder, mut options) = setup().await?;
    options.work = 0;
    options.since = Start::Last;
    // Every fifth key has a new value at the end.
    put_many(&context, KEYS, KEYS).await?;
    put_many(&context, KEYS / 5, KEYS / 5).await?;
    let _processes = [Process::start(&options)?, Process::start(&options)?];
    wait_for(folder.path(), 2000, LONG).await?;
    server.restart(std::time::Duration::from_millis(100)).await?;
    drained(&context, folder.path(), LONG).await?;
    put_many(&context, 10, 100).await?;
    drained(&context, folder.path(), LONG).await?;
    let replaced: Vec<u64> = (1..=KEYS / 5).collect();
    if let Some(early) = record::done(folder.path()).iter().find(|sequence| replaced.contains(sequence)) {
        return Err(format!("{early} was replaced before the consumer was made").into());
    }
    check(folder.path(), KEYS + KEYS / 5 + 100, &replaced)
}
