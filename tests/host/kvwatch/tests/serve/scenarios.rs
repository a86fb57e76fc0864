//! The tests.

use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::Context;

use crate::nats_server::Server;
use crate::program::{self, Program};
use crate::record::{self, Failure, check, check_order, wait_for};
use crate::watcher::{Options, Process};

type Test = fn() -> Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

macro_rules! tests {
    ($($name:ident,)*) => {
        pub(crate) const ALL: &[(&str, Test)] = &[$((stringify!($name), || Box::pin($name())),)*];
    };
}

tests!(
    d1_kill_at_every_step_of_an_event_loses_nothing,
    d1_server_killed_while_handlers_are_busy_loses_nothing,
    d2_order_holds_while_processes_are_killed_under_load,
    d3_poisoned_key_among_a_thousand_becomes_a_dead_letter,
    d4_event_without_attempts_left_is_in_the_file,
    d5_one_of_three_processes_works_and_a_standby_takes_over,
    d5_stopped_for_longer_than_the_ack_wait,
    d6_term_lets_a_busy_handler_finish_and_gives_back_the_rest,
    d8_key_that_is_not_utf8_does_not_stop_the_others,
    bucket_removed_and_created_again,
    missing_store_has_its_own_exit_code_and_wait_waits,
    restarts_leave_one_consumer_and_other_settings_are_refused,
    program_killed_in_the_middle_loses_nothing_and_keeps_the_order,
    program_without_a_bucket_exits_with_its_own_code,
);

const LONG: Duration = Duration::from_mins(1);

async fn setup() -> Result<(Server, Context, tempfile::TempDir, Options), Failure> {
    let server = Server::start().await?;
    let context = server.bucket("b", 1000).await?;
    let folder = tempfile::tempdir()?;
    let options = Options::new(&server.url(), "b", folder.path());
    Ok((server, context, folder, options))
}

async fn put(context: &Context, key: &str, value: &str) -> Result<u64, Failure> {
    Ok(context.publish(format!("$KV.b.{key}"), value.to_owned().into()).await?.await?.sequence)
}

async fn put_many(context: &Context, keys: u64, count: u64) -> Result<(), Failure> {
    let mut acks = Vec::new();
    for number in 0..count {
        let key = format!("$KV.b.k{}", number % keys);
        acks.push(context.publish(key, number.to_string().into()).await?);
        if acks.len() == 100 {
            for ack in acks.drain(..) {
                ack.await?;
            }
        }
    }
    for ack in acks {
        ack.await?;
    }
    Ok(())
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn d1_kill_at_every_step_of_an_event_loses_nothing() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 300;
    // One event takes 300 ms: the kills come before, in and after its handler, and around its ack.
    put_many(&context, 2, 8).await?;
    for wait in [50, 150, 300, 330, 360, 420, 600] {
        let starts = record::read(folder.path()).len();
        let mut process = Process::start(&options)?;
        for _ in 0..200 {
            if record::read(folder.path()).len() > starts {
                break;
            }
            pause(20).await;
        }
        pause(wait).await;
        process.kill()?;
    }
    options.work = 1;
    let _process = Process::start(&options)?;
    wait_for(folder.path(), 8, LONG).await?;
    check(folder.path(), 8, &[])
}

async fn d1_server_killed_while_handlers_are_busy_loses_nothing() -> Result<(), Failure> {
    let (mut server, context, folder, mut options) = setup().await?;
    options.work = 20;
    put_many(&context, 20, 600).await?;
    let _process = Process::start(&options)?;
    for restart in 1..=3 {
        wait_for(folder.path(), restart * 100, LONG).await?;
        server.restart(Duration::from_millis(500)).await?;
    }
    wait_for(folder.path(), 600, LONG).await?;
    check(folder.path(), 600, &[])
}

async fn d2_order_holds_while_processes_are_killed_under_load() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 3;
    let mut processes = [Process::start(&options)?, Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(async move {
        for number in 0..4000 {
            put(&context, &format!("k{}", number % 40), &number.to_string()).await?;
            if number % 4 == 0 {
                pause(5).await;
            }
        }
        Ok::<_, Failure>(())
    });
    for round in 0..6 {
        pause(2500).await;
        let victim = &mut processes[round % 3];
        victim.kill()?;
        *victim = Process::start(&options)?;
    }
    load.await??;
    wait_for(folder.path(), 4000, LONG).await?;
    check(folder.path(), 4000, &[])
}

async fn d3_poisoned_key_among_a_thousand_becomes_a_dead_letter() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    put_many(&context, 500, 500).await?;
    let poison = put(&context, "bad", "poison").await?;
    put_many(&context, 499, 499).await?;
    let mut deaths = 0;
    let mut process = Process::start(&options)?;
    while record::done(folder.path()).len() < 1000 {
        if process.has_ended()?.is_some() {
            deaths += 1;
            if deaths > 10 {
                return Err("the event kills the process for ever".into());
            }
            process = Process::start(&options)?;
        }
        pause(50).await;
    }
    if record::letters(folder.path()) != [poison] {
        return Err(format!("dead letters: {:?}, and {poison} is the bad one", record::letters(folder.path())).into());
    }
    check(folder.path(), 1000, &[])
}

async fn d4_event_without_attempts_left_is_in_the_file() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    let bad = put(&context, "a", "trap").await?;
    put(&context, "a", "good").await?;
    put(&context, "b", "good").await?;
    let mut process = Process::start(&options)?;
    wait_for(folder.path(), 3, LONG).await?;
    let attempts = record::read(folder.path()).iter().filter(|line| line.sequence == bad).count();
    if attempts != 3 || record::letters(folder.path()) != [bad] {
        return Err(format!("{attempts} attempts, letters {:?}", record::letters(folder.path())).into());
    }
    process.signal("-TERM")?;
    process.end().await?;
    check(folder.path(), 3, &[])
}

async fn d5_one_of_three_processes_works_and_a_standby_takes_over() -> Result<(), Failure> {
    let (_server, context, folder, options) = setup().await?;
    let mut processes = vec![Process::start(&options)?, Process::start(&options)?, Process::start(&options)?];
    pause(1500).await;
    put_many(&context, 10, 100).await?;
    wait_for(folder.path(), 100, LONG).await?;
    let workers = |from: usize| {
        let all = record::read(folder.path());
        all[from..].iter().map(|line| line.process).collect::<std::collections::BTreeSet<_>>()
    };
    let first = workers(0);
    if first.len() != 1 {
        return Err(format!("these processes worked at the same time: {first:?}").into());
    }
    let seen = record::read(folder.path()).len();
    processes.retain_mut(|process| !first.contains(&process.id()) || process.kill().is_err());
    put_many(&context, 10, 100).await?;
    wait_for(folder.path(), 200, LONG).await?;
    let second = workers(seen);
    if second.len() != 1 || second == first {
        return Err(format!("after {first:?} was killed, {second:?} worked").into());
    }
    check(folder.path(), 200, &[])
}

async fn d5_stopped_for_longer_than_the_ack_wait() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 5;
    let processes = [Process::start(&options)?, Process::start(&options)?];
    let load = tokio::spawn(async move {
        for number in 0..2000 {
            put(&context, &format!("k{}", number % 20), &number.to_string()).await?;
            pause(5).await;
        }
        Ok::<_, Failure>(())
    });
    for round in 0..3 {
        pause(1000).await;
        let process = &processes[round % 2];
        process.signal("-STOP")?;
        pause(5000).await;
        process.signal("-CONT")?;
    }
    load.await??;
    wait_for(folder.path(), 2000, LONG).await?;
    check(folder.path(), 2000, &[])
}

async fn d6_term_lets_a_busy_handler_finish_and_gives_back_the_rest() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    options.work = 700;
    options.workers = 1;
    options.ack_wait = 20_000;
    put_many(&context, 5, 5).await?;
    let mut process = Process::start(&options)?;
    while record::read(folder.path()).is_empty() {
        pause(20).await;
    }
    process.signal("-TERM")?;
    let code = process.end().await?;
    let lines = record::read(folder.path());
    if code != 0 || lines.len() != 2 || !lines[1].end {
        return Err(format!("exit code {code}, {lines:?}").into());
    }
    // The ack wait is 20 s: without giving back, the next process would have nothing for so long.
    options.work = 1;
    let _next = Process::start(&options)?;
    wait_for(folder.path(), 5, Duration::from_secs(10)).await?;
    if record::read(folder.path()).len() != 10 {
        return Err("an event came twice".into());
    }
    check(folder.path(), 5, &[])
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

async fn restarts_leave_one_consumer_and_other_settings_are_refused() -> Result<(), Failure> {
    let (_server, context, folder, mut options) = setup().await?;
    for number in 1..=20 {
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

async fn program_killed_in_the_middle_loses_nothing_and_keeps_the_order() -> Result<(), Failure> {
    const EVENTS: usize = 600;
    const KEYS: usize = 7;
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = program::audit_log(folder)?;
    let from = format!("{}/b", server.url());
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let arguments = ["--since", "all", "--workers", "3", "--ack-wait", "2s", "--listen", &port.to_string()];
    let mut running = Program::start(&component, &from, folder, &arguments)?;
    let load = tokio::spawn(async move {
        for number in 1..=EVENTS {
            let key = format!("$KV.b.k{}", number % KEYS);
            context.publish(key, program::value(number).into()).await?.await?;
            pause(10).await;
        }
        Ok::<_, Failure>(())
    });
    for handled in [50, 200, 350] {
        program::wait_for(folder, handled).await?;
        running.kill()?;
        running = Program::start(&component, &from, folder, &arguments)?;
    }
    load.await??;
    program::wait_for(folder, EVENTS).await?;
    program::check(folder, EVENTS, KEYS)?;
    let (status, metrics) = program::get(port, "/metrics").await?;
    if !status.contains("200") || !metrics.contains("kvwatch_handled_total{watcher=\"audit\"}") {
        return Err(format!("{status}: {metrics}").into());
    }
    for (path, code) in [("/healthz", "200"), ("/readyz", "200"), ("/nothing", "404")] {
        let (status, _) = program::get(port, path).await?;
        if !status.contains(code) {
            return Err(format!("{path}: {status}").into());
        }
    }
    running.signal("-TERM")?;
    match running.end().await? {
        0 => Ok(()),
        code => Err(format!("exit code {code} after SIGTERM").into()),
    }
}

async fn program_without_a_bucket_exits_with_its_own_code() -> Result<(), Failure> {
    let server = Server::start().await?;
    let folder = tempfile::tempdir()?;
    let component = program::audit_log(folder.path())?;
    let code = Program::start(&component, &format!("{}/b", server.url()), folder.path(), &[])?.end().await?;
    let log = std::fs::read_to_string(folder.path().join("log"))?;
    if code != 4 || !log.contains("has no bucket `b`") {
        return Err(format!("exit code {code}: {log}").into());
    }
    Ok(())
}
