//! Tests the work of an operator: signals, dead letters, several watchers, limits and denied grants.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Config;

use super::access::folder;
use super::programs::logged;
use super::{LONG, pause, put, setup, tests};
use crate::common::{DROP_BOTH, printer, watcher};
use crate::nats_server::free_port;
use crate::program::{self, Program};
use crate::record::{Failure, tail};

tests!(
    d4_dead_letters_on_a_subject_need_a_stream_and_wait_if_it_is_removed,
    d4_dead_letters_in_a_file_are_events_for_run,
    d6_second_term_ends_at_once_and_loses_nothing,
    one_process_serves_several_watchers_each_with_its_grants,
    program_limits_the_memory_of_a_watcher_and_logs_its_output_as_data,
    program_logs_the_output_of_an_attempt_up_to_a_limit,
    program_logs_a_denied_host_once,
    lost_server_is_told_once_with_the_cause,
    start_up_errors_name_the_flag_the_cause_and_the_remedy,
);

const TRAPS: &str = "unreachable";

/// A program with this component, and `--name audit`.
fn start(folder: &Path, component: &[u8], from: &str, arguments: &[&str]) -> Result<Program, Failure> {
    std::fs::write(folder.join("watcher.wasm"), component)?;
    let arguments = [&["watcher.wasm", "--from", from, "--name", "audit", "--since", "all"], arguments].concat();
    Program::start_with(folder, &arguments, [])
}

/// Waits until the server has this many events that are delivered and not acknowledged, and none that is not delivered.
async fn pending(context: &Context, folder: &Path, count: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let info = context.get_stream("KV_b").await?.consumer_info("audit").await;
        if info.is_ok_and(|info| info.num_ack_pending == count && info.num_pending == 0) {
            return Ok(());
        }
        if begun.elapsed() > LONG {
            return Err(format!("there are not {count} pending events\n{}", tail(folder)).into());
        }
        pause(50).await;
    }
}

async fn d4_dead_letters_on_a_subject_need_a_stream_and_wait_if_it_is_removed() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    let arguments = ["--attempts", "1", "--dead-letters", "nats:dead.audit"];
    // Without a stream, the program does not begin.
    let code = start(folder, &watcher(TRAPS), &from, &arguments)?.end().await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    if code != 2 || !log.contains("--dead-letters nats:dead.audit: no stream has this subject") {
        return Err(format!("exit code {code}\n{log}").into());
    }
    let letters = Config { name: "dead".into(), subjects: vec!["dead.>".into()], ..Default::default() };
    context.create_stream(letters.clone()).await?;
    let mut program = start(folder, &watcher(TRAPS), &from, &arguments)?;
    logged(folder, "all pending events are here").await?;
    context.delete_stream("dead").await?;
    let sequence = put(&context, "a\"b", "value").await?;
    logged(folder, "no stream confirmed the dead letter on the subject dead.audit").await?;
    let line = line_with(folder, "a dead letter cannot be written")?;
    if line["key"] != "a\"b" || line["sequence"] != sequence {
        return Err(line.to_string().into());
    }
    pending(&context, folder, 1).await?;
    let stream = context.create_stream(letters).await?;
    pending(&context, folder, 0).await?;
    let letter = stream.get_last_raw_message_by_subject("dead.audit").await?;
    let letter: serde_json::Value = serde_json::from_slice(&letter.payload)?;
    if letter["op"] != "set" || letter["key"] != "a\"b" || letter["value"] != "value" || letter["attempts"] != 1 {
        return Err(letter.to_string().into());
    }
    program.stops().await
}

/// The first line of the log with this text.
fn line_with(folder: &Path, text: &str) -> Result<serde_json::Value, Failure> {
    let log = std::fs::read_to_string(folder.join("log"))?;
    let line = log.lines().find(|line| line.contains(text)).ok_or_else(|| format!("no {text} in\n{log}"))?;
    Ok(serde_json::from_str(line)?)
}

async fn d4_dead_letters_in_a_file_are_events_for_run() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    put(&context, "users/\u{e9}", "value").await?;
    let arguments = ["--attempts", "2", "--dead-letters", "dead.jsonl"];
    let mut program = start(folder, &watcher(TRAPS), &from, &arguments)?;
    logged(folder, "the event becomes a dead letter").await?;
    pending(&context, folder, 0).await?;
    program.signal("-TERM")?;
    program.end().await?;
    // The watcher is repaired.
    std::fs::write(folder.join("watcher.wasm"), printer("stdout", b"repaired\n", 1))?;
    let run = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
        .args(["run", "watcher.wasm", "dead.jsonl"])
        .current_dir(folder)
        .output()?;
    let output = String::from_utf8_lossy(&run.stdout);
    if run.status.success() && output.matches("repaired").count() == 1 {
        return Ok(());
    }
    Err(format!("{:?}: {output}{}", run.status, String::from_utf8_lossy(&run.stderr)).into())
}

async fn d6_second_term_ends_at_once_and_loses_nothing() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    put(&context, "k", "v").await?;
    let mut program = start(folder, &watcher("(loop $for-ever (br $for-ever))"), &from, &["--time", "60s"])?;
    pending(&context, folder, 1).await?;
    pause(500).await;
    program.signal("-TERM")?;
    pause(500).await;
    program.signal("-TERM")?;
    let code = program.end().await?;
    if code != 143 {
        return Err(format!("exit code {code}\n{}", tail(folder)).into());
    }
    pending(&context, folder, 1).await?;
    let _program = start(folder, &watcher(DROP_BOTH), &from, &[])?;
    pending(&context, folder, 0).await
}

async fn one_process_serves_several_watchers_each_with_its_grants() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    server.bucket("other", 10).await?;
    let folder = folder.path();
    let port = free_port();
    std::fs::write(folder.join("good.wasm"), printer("stdout", b"seen\n", 1))?;
    std::fs::write(folder.join("bad.wasm"), watcher(TRAPS))?;
    let url = server.url();
    let watcher = |name: &str, bucket: &str| {
        format!("[[watcher]]\nwatcher = \"{name}.wasm\"\nfrom = \"{url}/{bucket}\"\nname = \"{name}\"\n")
    };
    let config = format!("listen = \"{port}\"\n{}{}attempts = 1\n", watcher("good", "b"), watcher("bad", "other"));
    std::fs::write(folder.join("kvwatch.toml"), config)?;
    let mut program = Program::start_with(folder, &["--config", "kvwatch.toml"], [])?;
    put(&context, "k", "v").await?;
    context.publish("$KV.other.k", "v".into()).await?.await?;
    logged(folder, "an event is given up").await?;
    logged(folder, "\"output\":\"seen\"").await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    let of = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned();
    if !of("an event is given up").contains("\"watcher\":\"bad\"") || !of("seen").contains("\"watcher\":\"good\"") {
        return Err(log.into());
    }
    let begun = Instant::now();
    loop {
        let (_, metrics) = program::get(port, "/metrics").await?;
        let has = |line: &str| metrics.lines().any(|it| it == line);
        if has("kvwatch_handled_total{watcher=\"good\"} 1") && has("kvwatch_dead_letters_total{watcher=\"bad\"} 1") {
            break;
        }
        if begun.elapsed() > LONG {
            return Err(metrics.into());
        }
        pause(50).await;
    }
    program.stops().await
}

async fn program_limits_the_memory_of_a_watcher_and_logs_its_output_as_data() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    put(&context, "k\u{1b}[2J", "v").await?;
    let greedy = format!("(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)) {DROP_BOTH}");
    let mut program = start(folder, &watcher(&greedy), &from, &["--memory", "1MiB", "--attempts", "1"])?;
    logged(folder, "an event is given up").await?;
    logged(folder, "the memory limit of 1 MiB").await?;
    program.signal("-TERM")?;
    program.end().await?;
    put(&context, "k\u{1b}[2J", "v").await?;
    let loud = printer("stderr", b"\x1b[31mred\x07\n{\"key\":\"forged\"}\n", 1);
    let mut program = start(folder, &loud, &from, &["--log", "text"])?;
    logged(folder, "forged").await?;
    program.signal("-TERM")?;
    program.end().await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    let controls = |c: char| c.is_control() && c != '\n';
    let forged = log.lines().any(|line| line.starts_with("{\"key\":\"forged\""));
    if log.contains(controls) || forged { Err(format!("{log:?}").into()) } else { Ok(()) }
}

async fn program_logs_the_output_of_an_attempt_up_to_a_limit() -> Result<(), Failure> {
    let (server, context, folder, _) = setup().await?;
    let folder = folder.path();
    put(&context, "k", "v").await?;
    // 4 MiB, of which the line feeds do not count.
    let line = [&[b'a'; 4095][..], b"\n"].concat();
    let mut program =
        start(folder, &printer("stdout", &line, 1024), &format!("{}/b", server.url()), &["--log", "json"])?;
    logged(folder, "the watcher wrote more than the log takes").await?;
    program.stops().await?;
    let missing = &line_with(folder, "the watcher wrote more than the log takes")?["missing"];
    let log = std::fs::read_to_string(folder.join("log"))?;
    let lines = log.lines().filter(|line| line.contains("aaaa")).count();
    match (lines, missing.as_u64()) {
        (256, Some(missing)) if missing == 768 * 4095 => Ok(()),
        other => Err(format!("lines and missing bytes: {other:?}").into()),
    }
}

async fn program_logs_a_denied_host_once() -> Result<(), Failure> {
    let (server, context, _, _) = setup().await?;
    let folder = folder()?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/webhook");
    let built = kvwatch::build::package(example, kvwatch::build::Target::default())?;
    for key in ["a", "b", "c"] {
        put(&context, key, "v").await?;
    }
    let arguments = ["--attempts", "2", "--env", "WEBHOOK_URL=http://hook.example/path"];
    let _program = start(folder, &built.component, &from, &arguments)?;
    let begun = Instant::now();
    while std::fs::read_to_string(folder.join("log"))?.matches("an event is given up").count() < 3 {
        if begun.elapsed() > LONG {
            return Err(tail(folder).into());
        }
        pause(50).await;
    }
    let log = std::fs::read_to_string(folder.join("log"))?;
    let lines: Vec<&str> =
        log.lines().filter(|line| line.contains("the watcher may not send HTTP requests to this host")).collect();
    match lines[..] {
        [line] if line.contains("\"name\":\"hook.example:80\"") && line.contains("--allow-host hook.example:80") => {
            Ok(())
        }
        _ => Err(format!("{lines:?}\n{log}").into()),
    }
}

async fn lost_server_is_told_once_with_the_cause() -> Result<(), Failure> {
    let (mut server, context, folder, _) = setup().await?;
    let folder = folder.path();
    let from = format!("{}/b", server.url());
    put(&context, "k", "v").await?;
    let mut program = start(folder, &watcher(TRAPS), &from, &["--attempts", "2"])?;
    logged(folder, "an event is given up").await?;
    for field in ["sequence", "wait_ms"] {
        if !line_with(folder, "the handler trapped")?[field].is_u64() {
            return Err(format!("{field} is not a number\n{}", tail(folder)).into());
        }
    }
    if line_with(folder, "made the consumer")?["since"] != "all" {
        return Err(tail(folder).into());
    }
    pending(&context, folder, 0).await?;
    server.restart(std::time::Duration::from_secs(3)).await?;
    let begun = Instant::now();
    while std::fs::read_to_string(folder.join("log"))?.matches("connected to the store").count() < 2 {
        if begun.elapsed() > LONG {
            return Err(tail(folder).into());
        }
        pause(50).await;
    }
    program.stops().await?;
    let log = std::fs::read_to_string(folder.join("log"))?;
    let refused = log.lines().filter(|line| line.contains("Connection refused")).count();
    if refused != 1 || ["client error", "IO error\"", "\"closed\"", "async_nats"].iter().any(|it| log.contains(it)) {
        return Err(format!("{refused} lines of the cause\n{log}").into());
    }
    Ok(())
}

/// None of these needs a server.
async fn start_up_errors_name_the_flag_the_cause_and_the_remedy() -> Result<(), Failure> {
    let folder = folder()?;
    let folder = folder.path();
    std::fs::write(folder.join("bad.toml"), "[[watcher]]\nname = \"a\"\nworkrs = 3\n")?;
    std::fs::write(folder.join("text.wasm"), "hello")?;
    std::fs::write(folder.join("empty"), "\n")?;
    let nats = ["watcher.wasm", "--from", "nats://127.0.0.1:1/b", "--name", "a"];
    let with = |more: &[&'static str]| [&nats[..], more].concat();
    let busy = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = busy.local_addr()?.port().to_string();
    let listen = [&nats[..], &["--listen", &port]].concat();
    let cases: [(Vec<&str>, &[&str]); 22] = [
        (vec!["watcher.wasm", "--name", "a"], &["--from nats://HOST:PORT/BUCKET"]),
        (vec!["watcher.wasm", "--from", "nats://h/b"], &["--name", "remembers the progress"]),
        (vec!["watcher.wasm", "--from", "redis://h"], &["--name", "CLIENT LIST"]),
        (vec!["--from", "nats://h/b", "--name", "a"], &["no watcher", "name a component"]),
        (vec!["watcher.wasm", "--from", "rediss://h/1", "--name", "a"], &["--from", "TLS for Redis", "stunnel"]),
        (vec!["watcher.wasm", "--from", "nats://u:hunter2@h/b", "--name", "a"], &["--from", "put them into a file"]),
        (vec!["watcher.wasm", "--from", "http://h/b", "--name", "a"], &["--from", "nats://, tls:// or redis://"]),
        (vec!["text.wasm", "--from", "nats://h/b", "--name", "a"], &["text.wasm"]),
        (vec!["missing.wasm", "--from", "nats://h/b", "--name", "a"], &["missing.wasm"]),
        (with(&["--config", "missing.toml"]), &["--config missing.toml"]),
        (vec!["--config", "bad.toml"], &["--config bad.toml", "line 3", "workrs"]),
        (with(&["--keys", "a..b"]), &["--keys", "users.>"]),
        (with(&["--ack-wait", "10ms"]), &["--ack-wait", "1 s or more"]),
        (with(&["--user", "ada"]), &["KVWATCH_PASSWORD", "it is not set"]),
        (with(&["--user", "ada", "--password-file", "empty"]), &["password", "empty", "it is empty"]),
        (with(&["--password-file", "empty"]), &["--password-file", "add --user"]),
        (with(&["--token-file", "t", "--nkey-file", "n"]), &["--token-file and --nkey-file", "keep one"]),
        (with(&["--tls-cert", "c"]), &["--tls-cert and --tls-key", "give both"]),
        (with(&["--dead-letters", "nats:a.>"]), &["--dead-letters", "without white space"]),
        (with(&["--replay"]), &["--replay is for Redis"]),
        (
            with(&["--dead-letters", "no/such/folder/d.jsonl"]),
            &["--dead-letters no/such/folder/d.jsonl", "can write to"],
        ),
        (listen, &["--listen", "choose another port"]),
    ];
    for (arguments, due) in cases {
        let _ = std::fs::remove_file(folder.join("log"));
        let code = Program::start_with(folder, &arguments, [])?.end().await?;
        let log = std::fs::read_to_string(folder.join("log"))?;
        if code != 2 || !due.iter().all(|due| log.contains(due)) || log.contains("hunter2") {
            return Err(format!("exit code {code} with {arguments:?}, and {due:?} are due: {log}").into());
        }
    }
    Ok(())
}
