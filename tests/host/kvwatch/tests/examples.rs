//! Tests the scripts `serve` of the examples. They start a real server, change the store with its own client, and show the
//! result.
//!
//! `$NATS_SERVER`, `$NATS_CLIENT` and `$REDIS_SERVER` name the programs that `.ci/nats-server`, `.ci/nats-client` and
//! `.ci/redis-server` download. Without these variables, the scripts would download the programs themselves, so the tests are
//! reported as ignored. They fail with `--include-ignored`, or if the variable is set.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use harness::{Server, Test};

static NATS: Server = Server::new("nats-server", "NATS_SERVER");
static REDIS: Server = Server::new("redis-server", "REDIS_SERVER");

fn main() -> ExitCode {
    let on_nats = |name, test: fn()| Test::new(name, test).needs(nats).must_run(NATS.is_named());
    let on_redis = |name, test: fn()| Test::new(name, test).needs(redis).must_run(REDIS.is_named());
    harness::run([
        on_nats("secondary_index_on_nats", secondary_index_on_nats),
        on_redis("running_totals_on_redis", running_totals_on_redis),
        on_nats("webhook_on_nats", webhook_on_nats),
        on_redis("webhook_on_redis", webhook_on_redis),
        on_redis("a_script_that_is_stopped_leaves_nothing", a_script_that_is_stopped_leaves_nothing),
        harness::test!(a_script_says_how_it_is_called),
    ])
}

fn nats() -> Result<(), String> {
    NATS.path()?;
    let missing =
        "it needs NATS's client for Python: run `.ci/nats-client FOLDER`, and set NATS_CLIENT to what it prints";
    env::var_os("NATS_CLIENT").map(drop).ok_or_else(|| missing.to_owned())
}

fn redis() -> Result<(), String> {
    REDIS.path().map(drop)
}

/// A script, with a folder of its own for temporary files.
fn script(path: &str, folder: &Path) -> Command {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples");
    let mut command = Command::new(examples.join(path));
    command.env("KVWATCH", env!("CARGO_BIN_EXE_kvwatch")).env("TMPDIR", folder);
    if let Ok(server) = REDIS.path() {
        command.env("REDIS_SERVER", absolute(server));
    }
    command
}

/// A program on the path has no folder. The scripts find it themselves.
fn absolute(program: &Path) -> PathBuf {
    let on_path = || env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(program)).find(|it| it.is_file());
    if program.components().count() > 1 { program.to_owned() } else { on_path().unwrap_or_else(|| program.to_owned()) }
}

/// Runs a script, which must print `due`. PORT stands for each port.
fn prints(path: &str, arguments: &[&str], due: &str) {
    let folder = tempfile::tempdir().unwrap();
    let output = script(path, folder.path()).args(arguments).output().unwrap();
    let printed = without_ports(&String::from_utf8(output.stdout).unwrap());
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(printed.trim(), due.trim());
    assert_nothing_left(folder.path());
}

fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "127.0.0.1:PORT" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// Checks that the script has left no file, and no process with a path in the folder or of the script's receiver.
fn assert_nothing_left(folder: &Path) {
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.is_empty(), "files are left: {files:?}");
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.filter_map(Result::ok) {
        let variables = fs::read(process.path().join("environ")).unwrap_or_default();
        let temporary = format!("TMPDIR={}", folder.display());
        let is_left = variables.split(|byte| *byte == 0).any(|variable| variable == temporary.as_bytes());
        assert!(!is_left, "the process {} is left", process.path().display());
    }
}

fn secondary_index_on_nats() {
    prints(
        "secondary-index/serve",
        &[],
        r#"
== starts nats-server with JetStream
$ nats kv add users
$ kvwatch serve examples/secondary-index --from nats://127.0.0.1:PORT/users --name index

== two users get an email
$ nats kv put users users/1 {"email":"ada@example.org"}
$ nats kv put users users/2 {"email":"grace@example.org"}
$ nats kv ls users
by-email/ada=40example=2Eorg/1
by-email/grace=40example=2Eorg/2
indexed-as/1
indexed-as/2
users/1
users/2

== the email of a user changes, and the other user is deleted
$ nats kv put users users/1 {"email":"ada@example.com"}
$ nats kv del users users/2
$ nats kv ls users
by-email/ada=40example=2Ecom/1
indexed-as/1
users/1
$ nats kv get users by-email/ada=40example=2Ecom/1 --raw
1
"#,
    );
}

fn running_totals_on_redis() {
    prints(
        "running-totals/serve",
        &[],
        "
== starts redis-server, which announces changes
$ kvwatch serve examples/running-totals --from redis://127.0.0.1:PORT/0 --name totals

== two sales in Oslo, one after the other, and one in Turin
$ redis-cli set sales/oslo 1200
OK
$ redis-cli get totals/oslo
1200
$ redis-cli set sales/oslo 550
OK
$ redis-cli get totals/oslo
1750
$ redis-cli set sales/turin 80
OK
$ redis-cli get totals/turin
80

== the shop in Turin closes
$ redis-cli del sales/turin
1
$ redis-cli exists totals/turin
0
",
    );
}

fn webhook_on_nats() {
    prints(
        "webhook/serve",
        &["nats"],
        r#"
== starts nats-server with JetStream
$ nats kv add users
$ kvwatch serve examples/webhook --from nats://127.0.0.1:PORT/users --name webhook --env WEBHOOK_URL=http://127.0.0.1:PORT/ --allow-host 127.0.0.1:PORT

== a key is set; the receiver refuses the first request, and gets the event again
$ nats kv put users users/ada hello
$ received
503 {"key":"users/ada","op":"set","size":5,"value":"hello"}
204 {"key":"users/ada","op":"set","size":5,"value":"hello"}

== the key is deleted
$ nats kv del users users/ada
$ received
503 {"key":"users/ada","op":"set","size":5,"value":"hello"}
204 {"key":"users/ada","op":"set","size":5,"value":"hello"}
204 {"key":"users/ada","op":"delete"}
"#,
    );
}

fn webhook_on_redis() {
    prints(
        "webhook/serve",
        &["redis"],
        r#"
== starts redis-server, which announces changes
$ kvwatch serve examples/webhook --from redis://127.0.0.1:PORT/0 --name webhook --env WEBHOOK_URL=http://127.0.0.1:PORT/ --allow-host 127.0.0.1:PORT

== a key is set; the receiver refuses the first request, and gets the event again
$ redis-cli set users/ada hello
OK
$ received
503 {"key":"users/ada","op":"set","size":5,"value":"hello"}
204 {"key":"users/ada","op":"set","size":5,"value":"hello"}

== the key is deleted
$ redis-cli del users/ada
1
$ received
503 {"key":"users/ada","op":"set","size":5,"value":"hello"}
204 {"key":"users/ada","op":"set","size":5,"value":"hello"}
204 {"key":"users/ada","op":"delete"}
"#,
    );
}

fn a_script_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = script("running-totals/serve", folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("$ redis-cli get") {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the script ended early");
    }
    let kill = || Command::new("kill").arg(running.id().to_string()).status().unwrap();
    assert!(kill().success());
    // A second signal must not end the clean-up.
    thread::sleep(Duration::from_millis(20));
    kill();
    let status = running.wait().unwrap();
    output.read_to_string(&mut line).unwrap();
    assert_eq!(status.code(), Some(143), "{line}");
    assert_nothing_left(folder.path());
}

fn a_script_says_how_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let output = script("webhook/serve", folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stderr, b"usage: examples/webhook/serve nats|redis\n");
    assert_nothing_left(folder.path());
}
