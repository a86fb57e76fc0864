//! Watchers that act on their store, and the store itself.

use async_nats::jetstream::{self, Context};
use kvwatch::stores::NatsStore;
use kvwatch::world::store::{Store as _, StoreError, conforms};

use super::programs::logged;
use super::{LONG, pause, put, setup, tests};
use crate::acting::{EVERY_FUNCTION, WAITS_FOR_A_KEY, acting};
use crate::nats_server::free_port;
use crate::program::{self, Program, metric};
use crate::proxy::{Fault, Proxy};
use crate::record::{Failure, tail};

tests!(
    store_conforms_with_batches_and_without,
    store_names_its_limits,
    store_that_is_away_fails_with_its_reason,
    increments_of_several_processes_add_up,
    program_skips_own_writes_and_feeds_them_up_to_a_depth,
    program_refuses_a_bucket_that_is_not_granted,
    program_ends_a_slow_call_with_the_time_of_the_event,
    program_handles_other_keys_while_a_call_waits,
    program_calls_every_function,
    program_refuses_batches_without_the_option,
    program_tries_a_call_again_after_the_server_died_in_it,
);

async fn store_conforms_with_batches_and_without() -> Result<(), Failure> {
    let (_server, context, _folder, _) = setup().await?;
    for batches in [false, true] {
        let store = NatsStore::new(context.clone(), "b/w").allow_partial_batches(batches);
        conforms(&store, "b").await?;
    }
    let store = NatsStore::new(context, "b/w");
    let refused = store.get_many("b", &["k"]).wait().await;
    match refused {
        Err(StoreError::Unsupported(reason)) if reason.contains("--allow-partial-batches") => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

async fn store_names_its_limits() -> Result<(), Failure> {
    let (_server, context, _folder, _) = setup().await?;
    context
        .create_stream(jetstream::stream::Config {
            name: "KV_small".into(),
            subjects: vec!["$KV.small.>".into()],
            max_message_size: 1000,
            ..Default::default()
        })
        .await?;
    let store = NatsStore::new(context, "b/w");
    let most = 1 << 20;
    let largest = vec![7; most - 1000];
    store.set("b", "k", largest.clone().into()).wait().await?;
    let read = store.get("b", "k").wait().await?;
    if read.read(0, read.len())? != largest {
        return Err("a large value came back changed".into());
    }
    for (bucket, key, len, due) in [
        ("b", "k", most + 1, "max_payload"),
        ("b", "k", most, "max_payload"),
        ("small", "k", 2000, "max_value_size"),
        ("b", "a b", 1, "\"a b\""),
        ("b", "a..b", 1, "\"a..b\""),
        ("b", "", 1, "does not allow the key"),
        ("b", "\u{1b}", 1, "u{1b}"),
        ("none", "k", 1, "none"),
    ] {
        let refused = store.set(bucket, key, vec![0; len].into()).wait().await;
        let text = refused.err().ok_or_else(|| format!("{due}: it was set"))?.to_string();
        if !text.contains(due) || text.chars().any(char::is_control) {
            return Err(format!("{due}: {text:?}").into());
        }
    }
    Ok(())
}

async fn store_that_is_away_fails_with_its_reason() -> Result<(), Failure> {
    let (mut server, context, _folder, _) = setup().await?;
    let store = NatsStore::new(context, "b/w");
    server.kill()?;
    for refused in [store.increment("b", "n", 1).wait().await.map(drop), store.keys("b").wait().await.map(drop)] {
        let Err(StoreError::Unavailable(_)) = refused else { return Err(format!("{refused:?}").into()) };
    }
    server.start_again().await?;
    let begun = std::time::Instant::now();
    while store.increment("b", "n", 1).wait().await.is_err() {
        if begun.elapsed() > LONG {
            return Err("the store does not come back".into());
        }
        pause(100).await;
    }
    Ok(())
}

const INCREMENT: &str =
    "(call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
    (call $worked)";

/// The number under the key `n`, once it is this.
async fn number(context: &Context, folder: &std::path::Path, due: u64) -> Result<(), Failure> {
    let store = NatsStore::new(context.clone(), "b/test");
    let begun = std::time::Instant::now();
    loop {
        let now = match store.get("b", "n").wait().await {
            Ok(number) => String::from_utf8(number.read(0, 20)?)?,
            Err(error) => error.to_string(),
        };
        if now == due.to_string() {
            return Ok(());
        }
        if begun.elapsed() > LONG / 2 {
            return Err(format!("the number is {now}, and {due} is right\n{}", tail(folder)).into());
        }
        pause(50).await;
    }
}

async fn increments_of_several_processes_add_up() -> Result<(), Failure> {
    const EVENTS: u64 = 100;
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(INCREMENT))?;
    let from = format!("{}/b", server.url());
    let arguments = ["--since", "all", "--shared", "--workers", "8", "--keys", "k.*"];
    let _programs = [(); 3].map(|()| Program::start(&component, &from, folder, &arguments));
    for key in 0..EVENTS {
        put(&context, &format!("k.{key}"), "v").await?;
    }
    number(&context, folder, EVENTS).await?;
    pause(500).await;
    number(&context, folder, EVENTS).await
}

async fn program_skips_own_writes_and_feeds_them_up_to_a_depth() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(INCREMENT))?;
    let from = format!("{}/b", server.url());
    let mut program = Program::start(&component, &from, folder, &["--since", "all"])?;
    put(&context, "k", "v").await?;
    number(&context, folder, 1).await?;
    // Nothing follows, and the write is acknowledged.
    pause(1000).await;
    number(&context, folder, 1).await?;
    put(&context, "k", "v").await?;
    number(&context, folder, 2).await?;
    let info = loop {
        let info = context.get_stream("KV_b").await?.consumer_info("audit").await?;
        if info.num_pending == 0 && info.num_ack_pending == 0 {
            break info;
        }
        pause(50).await;
    };
    program.signal("-TERM")?;
    program.end().await?;
    if info.delivered.stream_sequence != 4 {
        return Err(format!("{} of 4 events were delivered", info.delivered.stream_sequence).into());
    }
    // Its write at the depth 4 becomes a dead letter: it was the fourth in a row.
    let _program = Program::start(&component, &from, folder, &["--since", "all", "--feed", "3"])?;
    put(&context, "k", "v").await?;
    logged(folder, "--feed allows 3").await?;
    pause(500).await;
    number(&context, folder, 6).await
}

async fn program_refuses_a_bucket_that_is_not_granted() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    server.bucket("other", 1).await?;
    let folder = folder.path();
    // With the bucket, it counts; without, it asks for its keys, which traps with the reason of the store.
    let open = "(call $open-bucket (i32.const 3) (i32.const 5) (global.get $result))
        (call $worked)
        (local.set $other (call $four))
        (call $increment (local.get $other) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
        (call $worked)
        (call $drop-bucket (local.get $other))";
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(&format!("{open}\n{INCREMENT}")))?;
    let from = format!("{}/b", server.url());
    put(&context, "k", "v").await?;
    for (number, grants) in [&[][..], &["--allow-bucket", "other:ro"]].into_iter().enumerate() {
        let arguments = [&["--since", "all", "--attempts", "1"], grants].concat();
        let mut program = Program::start(&component, &from, folder, &arguments)?;
        put(&context, "k", "v").await?;
        let begun = std::time::Instant::now();
        let given_up =
            || std::fs::read_to_string(folder.join("log")).map_or(0, |log| log.matches("an event is given up").count());
        while given_up() < number + 2 {
            if begun.elapsed() > LONG {
                return Err(tail(folder).into());
            }
            pause(50).await;
        }
        program.signal("-TERM")?;
        program.end().await?;
    }
    let _program = Program::start(&component, &from, folder, &["--since", "all", "--allow-bucket", "other"])?;
    put(&context, "k", "v").await?;
    number(&context, folder, 1).await?;
    let store = NatsStore::new(context, "b/test");
    let other = store.get("other", "n").wait().await?;
    if other.read(0, 9)? == b"1" { Ok(()) } else { Err(format!("{:?}", other.read(0, 9)).into()) }
}

async fn program_ends_a_slow_call_with_the_time_of_the_event() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let proxy = Proxy::to(server.port).await?;
    // Every call is quick, and together they take the whole time.
    let calls = "(loop $again
        (call $exists (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
        (call $worked)
        (br $again))";
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(calls))?;
    let from = format!("{}/b", proxy.url());
    let arguments = ["--since", "all", "--time", "500ms", "--attempts", "1"];
    let _program = Program::start(&component, &from, folder, &arguments)?;
    put(&context, "k", "v").await?;
    logged(folder, "an event is given up").await?;
    logged(folder, "500ms").await?;
    // Now a call is on its way when the store falls silent.
    put(&context, "k", "v").await?;
    pause(200).await;
    proxy.set(Fault::Silent);
    let begun = std::time::Instant::now();
    while std::fs::read_to_string(folder.join("log"))?.matches("an event is given up").count() < 2 {
        if begun.elapsed() > LONG {
            return Err(tail(folder).into());
        }
        pause(50).await;
    }
    Ok(())
}

/// The proxy takes the call of one event, so no answer comes.
async fn program_handles_other_keys_while_a_call_waits() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let proxy = Proxy::to(server.port).await?;
    proxy.set(Fault::Take("{\"last_by_subj\":\"$KV.b.a\"}"));
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(WAITS_FOR_A_KEY))?;
    let port = free_port();
    let arguments = ["--since", "all", "--workers", "2", "--attempts", "100", "--listen", &port.to_string()];
    let _program = Program::start(&component, &format!("{}/b", proxy.url()), folder, &arguments)?;
    put(&context, "k", "v").await?;
    program::handled_during_a_call(port, 20, async |attempt| {
        for key in 0..20 {
            put(&context, &format!("other.{attempt}.{key}"), "v").await?;
        }
        Ok(())
    })
    .await
}

async fn program_calls_every_function() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    server.bucket("1", 1).await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(EVERY_FUNCTION))?;
    let port = free_port().to_string();
    let arguments =
        ["--since", "all", "--allow-bucket", "1", "--allow-partial-batches", "--attempts", "1", "--listen", &port];
    let _program = Program::start(&component, &format!("{}/b", server.url()), folder, &arguments)?;
    put(&context, "k", "v").await?;
    number(&context, folder, 51).await?;
    let store = NatsStore::new(context, "b/test");
    let mut keys = store.keys("b").wait().await?;
    keys.sort();
    let other = store.get("1", "c").wait().await?;
    let metrics = program::get(port.parse()?, "/metrics").await?.1;
    if keys != ["k", "n"]
        || other.read(0, 9)? != b"7"
        || !metrics.contains("kvwatch_violations_total{watcher=\"audit\"} 0")
    {
        return Err(format!("{keys:?} {:?}\n{metrics}", other.read(0, 9)).into());
    }
    Ok(())
}

async fn program_refuses_batches_without_the_option() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    // Both calls fail, and the watcher continues.
    let refused = "(call $must (i32.load8_u (global.get $result)))
        (call $drop-error (call $four))";
    let on_set = format!(
        "(call $get-many (local.get $bucket) (i32.const 16) (i32.const 2) (global.get $result))
        {refused}
        (call $set-many (local.get $bucket) (i32.const 32) (i32.const 0) (i32.const 64) (i32.const 0)
            (global.get $result))
        {refused}
        {INCREMENT}"
    );
    std::fs::write(&component, acting(&on_set))?;
    let from = format!("{}/b", server.url());
    let mut program = Program::start(&component, &from, folder, &["--since", "all", "--attempts", "1"])?;
    put(&context, "k", "v").await?;
    number(&context, folder, 1).await?;
    program.signal("-TERM")?;
    program.end().await?;
    // With the option, the first call works, or fails because a key is missing: the watcher traps, because it is not refused.
    let arguments = ["--since", "all", "--attempts", "1", "--allow-partial-batches"];
    let _program = Program::start(&component, &from, folder, &arguments)?;
    put(&context, "a", "v").await?;
    logged(folder, "an event is given up").await?;
    number(&context, folder, 1).await
}

/// The server dies while a call of the watcher waits for its answer. The event is tried again, and counts once.
async fn program_tries_a_call_again_after_the_server_died_in_it() -> Result<(), Failure> {
    let (mut server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("acting.wasm");
    std::fs::write(&component, acting(WAITS_FOR_A_KEY))?;
    let port = free_port();
    let arguments = ["--since", "all", "--attempts", "20", "--listen", &port.to_string()];
    let _program = Program::start(&component, &format!("{}/b", server.url()), folder, &arguments)?;
    put(&context, "k", "v").await?;
    for death in 1..=3 {
        // The watcher only calls, so the server dies in a call.
        metric(port, "kvwatch_running", 1).await?;
        pause(300).await;
        server.kill()?;
        metric(port, "kvwatch_trapped_total", death).await?;
        server.start_again().await?;
    }
    let context = server.context().await?;
    put(&context, "a", "v").await?;
    number(&context, folder, 1).await?;
    metric(port, "kvwatch_handled_total", 2).await?;
    pause(500).await;
    number(&context, folder, 1).await?;
    if std::fs::read_to_string(folder.join("log"))?.contains("dead letter") {
        return Err(tail(folder).into());
    }
    Ok(())
}
