//! Runs the real program with a real component, and checks the bucket and the output of the watcher.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::record::Failure;

/// `kvwatch serve` with the example `audit-log`. It is killed when this is dropped.
pub(crate) struct Program(Child);

impl Program {
    /// The log is appended to `log` in this folder, as JSON.
    pub(crate) fn start(component: &Path, from: &str, folder: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let log: File = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let arguments = [&["--log", "json"], arguments].concat();
        Self::start_on(log, component, from, &arguments)
    }

    /// The log goes to this file, or to this terminal.
    pub(crate) fn start_on(log: File, component: &Path, from: &str, arguments: &[&str]) -> Result<Self, Failure> {
        let child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
            .arg("serve")
            .arg(component)
            .args(["--from", from, "--name", "audit"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    /// Starts the program with only these arguments and variables. The log is appended to `log` in this folder, as JSON, because
    /// a file is not a terminal.
    pub(crate) fn start_with<'a>(
        folder: &Path,
        arguments: &[&str],
        variables: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, Failure> {
        let log: File = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        let child = Command::new(env!("CARGO_BIN_EXE_kvwatch"))
            .arg("serve")
            .args(arguments)
            .envs(variables)
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    pub(crate) fn signal(&self, signal: &str) -> Result<(), Failure> {
        Command::new("kill").args([signal, &self.0.id().to_string()]).status()?;
        Ok(())
    }

    /// Ends the program with SIGTERM. Any exit code except 0 is a failure.
    pub(crate) async fn stops(&mut self) -> Result<(), Failure> {
        self.signal("-TERM")?;
        match self.end().await? {
            0 => Ok(()),
            code => Err(format!("exit code {code} after SIGTERM").into()),
        }
    }

    /// Waits for the end, up to some seconds.
    pub(crate) async fn end(&mut self) -> Result<i32, Failure> {
        for _ in 0..400 {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.code().unwrap_or(-1));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the program does not end".into())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The example `audit-log`, built, in this folder.
pub(crate) fn audit_log(folder: &Path) -> Result<PathBuf, Failure> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples/audit-log");
    let built = kvwatch::build::package(&package, kvwatch::build::Target::default())?;
    let path = folder.join("audit_log.wasm");
    std::fs::write(&path, built.component)?;
    Ok(path)
}

/// The value of an event. Its length is the number of the event.
pub(crate) fn value(number: usize) -> Vec<u8> {
    vec![b'x'; number]
}

/// The keys and numbers that the watcher wrote, in their order. A line that a kill has cut is left out.
pub(crate) fn written(folder: &Path) -> Vec<(String, usize)> {
    let text = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let line = |line: &str| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let output = entry["output"].as_str()?;
        let number = output.split(" bytes=").nth(1)?.split(' ').next()?.parse().ok()?;
        Some((entry["key"].as_str()?.to_owned(), number))
    };
    text.lines().filter_map(line).collect()
}

/// Waits until the watcher wrote this many different events.
pub(crate) async fn wait_for(folder: &Path, count: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let seen = written(folder).into_iter().collect::<BTreeSet<_>>().len();
        if seen >= count {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(90) {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let tail = log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
            return Err(format!("{seen} of {count} events were handled; the last lines first:\n{tail}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks that all events from 1 on were handled, and each only after every older event of its key. Event `n` has the key `k{n %
/// keys}`.
pub(crate) fn check(folder: &Path, count: usize, keys: usize) -> Result<(), Failure> {
    let mut handled: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (key, number) in written(folder) {
        let of_key = handled.entry(key).or_default();
        let older = (1..number).rev().find(|older| older % keys == number % keys);
        if let Some(older) = older.filter(|older| !of_key.contains(older)) {
            return Err(format!("{number} was handled before {older} of its key").into());
        }
        of_key.insert(number);
    }
    let lost: Vec<usize> = (1..=count)
        .filter(|number| !handled.get(&format!("k{}", number % keys)).is_some_and(|it| it.contains(number)))
        .collect();
    if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}").into()) }
}

/// The answer of `--listen` at this path: the status line and the text.
pub(crate) async fn get(port: u16, path: &str) -> Result<(String, String), Failure> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// Waits until `--listen` has this metric with at least this value.
pub(crate) async fn metric(port: u16, name: &str, least: u64) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let value = value_of(port, name).await;
        if value.is_some_and(|value| value >= least) {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(90) {
            let metrics = get(port, "/metrics").await.map(|(_, metrics)| metrics);
            return Err(format!("{name} is {value:?}, and not {least}\n{metrics:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The metric of `--listen` with this name. `None`: the program does not listen yet.
pub(crate) async fn value_of(port: u16, name: &str) -> Option<u64> {
    let metrics = get(port, "/metrics").await.ok()?.1;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{watcher=\"audit\"} "))?;
    value.parse().ok()
}

/// Puts events while a call of another event waits, and checks that all of them are handled before that call ends.
///
/// The other event runs at the start and has not failed at the end, so it ran all the time. A call fails after some time without
/// an answer, and a slow machine may need longer for the events. Then they are put again. The parameter of `put` counts these
/// attempts.
pub(crate) async fn handled_during_a_call(
    port: u16,
    events: u64,
    mut put: impl AsyncFnMut(u32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for attempt in 0..10 {
        metric(port, "kvwatch_running", 1).await?;
        let failed = value_of(port, "kvwatch_trapped_total").await;
        let handled = value_of(port, "kvwatch_handled_total").await.unwrap_or_default();
        put(attempt).await?;
        metric(port, "kvwatch_handled_total", handled + events).await?;
        // Only the waiting call can run this long.
        let runs = value_of(port, "kvwatch_running").await == Some(1);
        if runs && failed.is_some() && value_of(port, "kvwatch_trapped_total").await == failed {
            return Ok(());
        }
    }
    Err("no event was handled while the call of another one waited".into())
}
