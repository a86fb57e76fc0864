//! The program itself, with a real component.

use super::{LONG, pause, put, setup, tests};
use crate::nats_server::{Server, free_port};
use crate::program::{self, Program};
use crate::record::{Failure, tail};

tests!(
    program_grants_what_its_options_say,
    program_loads_a_replaced_watcher_and_keeps_the_old_one_if_it_cannot,
    program_has_one_live_line_on_a_terminal,
    program_killed_in_the_middle_loses_nothing_and_keeps_the_order,
    program_that_stands_by_says_so_in_its_metrics,
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
    // A span has a name of its own, so the field with the watcher's name has another one: JSON must not have it twice.
    logged(folder, r#""span":{"name":"serve","watcher":"audit"}"#).await?;
    running.stops().await
}

async fn program_that_stands_by_says_so_in_its_metrics() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let component = program::audit_log(folder.path())?;
    let from = format!("{}/b", server.url());
    let ports = [free_port(), free_port()];
    let start = |port: &u16| {
        Program::start(&component, &from, folder.path(), &["--ack-wait", "2s", "--listen", &port.to_string()])
    };
    let mut programs = ports.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    put(&context, "k", "1").await?;
    let open = async || {
        let mut open = Vec::new();
        for port in ports {
            open.extend(program::value_of(port, "kvwatch_open").await.filter(|open| *open == 1).map(|_| port));
        }
        open
    };
    let begun = std::time::Instant::now();
    while open().await.len() != 1 {
        if begun.elapsed() > LONG {
            return Err(format!("these of {ports:?} are open: {:?}\n{}", open().await, tail(folder.path())).into());
        }
        pause(100).await;
    }
    // This lasts while nothing is pending.
    let first = open().await;
    for _ in 0..20 {
        pause(100).await;
        if open().await != first {
            return Err(format!("first {first:?} was open, then {:?}\n{}", open().await, tail(folder.path())).into());
        }
    }
    let worker = ports.iter().position(|port| first.contains(port)).ok_or("no program is open")?;
    programs[worker].kill()?;
    put(&context, "k", "2").await?;
    program::metric(ports[1 - worker], "kvwatch_open", 1).await?;
    program::metric(ports[1 - worker], "kvwatch_handled_total", 1).await
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

/// Waits until the log of the program has this text.
pub(super) async fn logged(folder: &std::path::Path, text: &str) -> Result<(), Failure> {
    let begun = std::time::Instant::now();
    while !std::fs::read_to_string(folder.join("log")).is_ok_and(|log| log.contains(text)) {
        if begun.elapsed() > LONG {
            return Err(format!("the log has no {text}\n{}", tail(folder)).into());
        }
        pause(50).await;
    }
    Ok(())
}

/// A watcher that imports a function that kvwatch does not offer, and needs a folder.
const GRANTED: &str = r#"(component
    (import "wasi:keyvalue/types" (instance $types
        (export "drop-bucket" (func (param "bucket" u32)))
        (export "drop-payload" (func (param "payload" u32)))))
    (import "example:other/api@0.1.0" (instance $other (export "call" (func))))
    (core func $drop-bucket (canon lower (func $types "drop-bucket")))
    (core func $drop-payload (canon lower (func $types "drop-payload")))
    (core func $call (canon lower (func $other "call")))
    (core module $module
        (import "types" "drop-bucket" (func $drop-bucket (param i32)))
        (import "types" "drop-payload" (func $drop-payload (param i32)))
        (import "types" "call" (func $call))
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
            (call $drop-payload (local.get $payload))
            (call $drop-bucket (local.get $bucket))
            (call $call))
        (func (export "on-delete") (param $bucket i32) (param $key i32) (param $len i32) unreachable))
    (core instance $core (instantiate $module (with "types" (instance
        (export "drop-bucket" (func $drop-bucket))
        (export "drop-payload" (func $drop-payload))
        (export "call" (func $call))))))
    (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
        (canon lift (core func $core "on-set") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (func $on-delete (param "bucket" u32) (param "key" string)
        (canon lift (core func $core "on-delete") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
    (export "wasi:keyvalue/handle-watch" (instance $watch)))"#;

async fn program_grants_what_its_options_say() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let component = folder.join("granted.wasm");
    std::fs::write(&component, wat::parse_str(GRANTED)?)?;
    let from = format!("{}/b", server.url());
    // Without the stub it cannot be loaded; the folder must exist; a variable needs a value.
    for (arguments, problem) in [
        (vec![], "example:other/api"),
        (vec!["--stub", "example:other/api", "--dir", "/no/such/folder::/data"], "/no/such/folder"),
        (vec!["--stub", "example:other/api", "--env", "KVWATCH_TEST_MISSING"], "KVWATCH_TEST_MISSING"),
        (vec!["--stub", "example:other/api", "--dir", "nothing"], "HOST::GUEST"),
        (vec!["--stub", "example:other/api", "--allow-host", "http://example.org/"], "is not a host"),
    ] {
        let code = Program::start(&component, &from, folder, &arguments)?.end().await?;
        if code != 2 {
            return Err(format!("exit code {code} with {arguments:?}\n{}", tail(folder)).into());
        }
        logged(folder, problem).await?;
    }
    let dir = format!("{}::/data:ro", folder.display());
    // The same in a file, with one watcher.
    let config = folder.join("kvwatch.toml");
    let lists = format!("env = [\"LOG=debug\"]\ndir = [\"{dir}\"]\nstub = [\"example:other/api\"]\n");
    std::fs::write(&config, format!("[[watcher]]\nattempts = 1\nsince = \"all\"\n{lists}"))?;
    let mut program = Program::start(&component, &from, folder, &["--config", &config.display().to_string()])?;
    context.publish("$KV.b.a", "v".into()).await?.await?;
    // The stub traps, and names its function.
    logged(folder, "example:other/api").await?;
    logged(folder, "an event is given up").await?;
    program.stops().await
}

async fn program_loads_a_replaced_watcher_and_keeps_the_old_one_if_it_cannot() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let built = program::audit_log(folder)?;
    let component = folder.join("served.wasm");
    std::fs::copy(&built, &component)?;
    let from = format!("{}/b", server.url());
    let arguments = ["--reload", "--attempts", "1", "--stub", "example:other/api", "--since", "all"];
    let mut program = Program::start(&component, &from, folder, &arguments)?;
    context.publish("$KV.b.k1", program::value(1).into()).await?.await?;
    program::wait_for(folder, 1).await?;
    // Half a component.
    std::fs::write(folder.join("new.wasm"), &std::fs::read(&built)?[..1000])?;
    std::fs::rename(folder.join("new.wasm"), &component)?;
    logged(folder, "cannot load the new watcher; the old one continues").await?;
    context.publish("$KV.b.k2", program::value(2).into()).await?.await?;
    program::wait_for(folder, 2).await?;
    // This watcher traps, so its events show which watcher had them.
    std::fs::write(folder.join("new.wasm"), wat::parse_str(GRANTED)?)?;
    std::fs::rename(folder.join("new.wasm"), &component)?;
    logged(folder, "loaded the new watcher").await?;
    context.publish("$KV.b.k3", program::value(3).into()).await?.await?;
    logged(folder, "an event is given up").await?;
    if program::written(folder).len() != 2 {
        return Err("the old watcher had an event of the new one".into());
    }
    program.stops().await
}

async fn program_has_one_live_line_on_a_terminal() -> Result<(), Failure> {
    use std::io::Read as _;
    let (server, context, folder, _) = setup().await?;
    let component = program::audit_log(folder.path())?;
    let size = nix::pty::Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = nix::pty::openpty(&size, None)?;
    let (mut screen, terminal) = (std::fs::File::from(pty.master), std::fs::File::from(pty.slave));
    let from = format!("{}/b", server.url());
    let mut program = Program::start_on(terminal, &component, &from, &["--since", "all"])?;
    let shown = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let reader = std::sync::Arc::clone(&shown);
    // It ends when the program, which has the other side of the terminal, does.
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            reader.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    });
    context.publish("$KV.b.k1", program::value(1).into()).await?.await?;
    let begun = std::time::Instant::now();
    let has = |text: &str| shown.lock().is_ok_and(|shown| shown.contains(text));
    while !(has("events/s, lag 0, 1 handled") && has("bytes=1 ")) {
        if begun.elapsed() > LONG {
            return Err(format!("on the terminal: {:?}", shown.lock().map(|it| it.clone())).into());
        }
        pause(50).await;
    }
    program.stops().await
}
