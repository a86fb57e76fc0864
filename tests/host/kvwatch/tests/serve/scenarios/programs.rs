//! The program itself, with a real component.

use super::{pause, setup, tests};
use crate::nats_server::{Server, free_port};
use crate::program::{self, Program};
use crate::record::Failure;

tests!(
    program_killed_in_the_middle_loses_nothing_and_keeps_the_order,
    program_without_a_bucket_exits_with_its_own_code,
);

async fn program_killed_in_the_middle_loses_nothing_and_keeps_the_order() -> Result<(), Failure> {
    const EVENTS: usize = 600;
    const KEYS: usize = 7;
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = program::audit_log(folder)?;
    let from = format!("{}/b", server.url());
    let port = free_port();
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
