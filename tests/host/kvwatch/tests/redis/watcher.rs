//! The process that serves. Its handler writes its events to a file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvwatch::serve::{Change, DeadLetterFile, Event, Metrics, Outcome, Settings, deliver};
use kvwatch::sources::redis::{self, RedisSource};
use kvwatch::stores::RedisStore;
use kvwatch::world::store::Store as _;
use serde::{Deserialize, Serialize};

use crate::record::{Failure, tail};

pub(crate) const COMMAND: &str = "redis-events";
/// Turns this program into a process that increments `n` at this address this many times.
pub(crate) const INCREMENT: &str = "redis-increment";

/// The options of a process that serves. It gets them as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    pub(crate) workers: usize,
    /// Milliseconds.
    pub(crate) work: u64,
    pub(crate) replay: bool,
    pub(crate) configure: bool,
    pub(crate) max_in_hand: u32,
    /// Whether the handler writes its events.
    pub(crate) record: bool,
}

impl Options {
    pub(crate) fn new(url: &str, folder: &Path) -> Self {
        Self {
            url: url.to_owned(),
            folder: folder.to_owned(),
            workers: 4,
            work: 0,
            replay: false,
            configure: false,
            max_in_hand: 500,
            record: true,
        }
    }
}

/// A process that serves. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    folder: PathBuf,
}

impl Process {
    /// Starts the process, and waits until it watches.
    pub(crate) async fn start(options: &Options) -> Result<Self, Failure> {
        let before = count(&options.folder, "watching");
        let log = OpenOptions::new().create(true).append(true).open(options.folder.join("log"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .arg(serde_json::to_string(options)?)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let process = Self { child, folder: options.folder.clone() };
        wait_until(&options.folder, "it does not watch", || count(&options.folder, "watching") > before).await?;
        Ok(process)
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn signal(&self, signal: &str) -> Result<(), Failure> {
        Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        Ok(())
    }

    /// Waits until the log has this text this many times.
    pub(crate) async fn logged(&self, text: &str, times: usize) -> Result<(), Failure> {
        wait_until(&self.folder, text, || count(&self.folder, text) >= times).await
    }

    /// The most memory that the process had so far, in KiB.
    pub(crate) fn peak_memory(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        Ok(peak.ok_or("no VmHWM")?.trim().parse()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The number of times that the log has this text.
pub(crate) fn count(folder: &Path, text: &str) -> usize {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default().matches(text).count()
}

/// Waits until the condition is true.
pub(crate) async fn wait_until(folder: &Path, what: &str, so: impl Fn() -> bool) -> Result<(), Failure> {
    let begun = Instant::now();
    while !so() {
        if begun.elapsed() > Duration::from_mins(2) {
            let lines = events(folder);
            let last = &lines[lines.len().saturating_sub(20)..];
            return Err(
                format!("{what}: in vain; {} events, the last are {last:?}\n{}", lines.len(), tail(folder)).into()
            );
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(())
}

/// The events in the order of their handlers: `key=value`, or `key gone`.
pub(crate) fn events(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("events")).unwrap_or_default();
    // A kill may have cut the last line.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// The watcher's knowledge of each key.
pub(crate) fn believed(folder: &Path) -> std::collections::BTreeMap<String, String> {
    let mut keys = std::collections::BTreeMap::new();
    for event in events(folder) {
        if let Some((key, value)) = event.split_once('=') {
            keys.insert(key.to_owned(), value.to_owned());
        } else if let Some(key) = event.strip_suffix(" gone") {
            keys.remove(key);
        }
    }
    keys
}

pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(serve());
    runtime.shutdown_background();
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(if error.is_missing_store() { 4 } else { 1 });
    }
}

/// All increments at once.
pub(crate) fn increment() {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = RedisStore::new(arguments[0].parse().unwrap(), redis::Auth::default());
        let running: Vec<_> = (0..arguments[1].parse().unwrap())
            .map(|_: u32| tokio::spawn(store.increment("0", "n", 1).wait()))
            .collect();
        for one in running {
            one.await.unwrap().unwrap();
        }
    });
}

async fn serve() -> Result<(), redis::Error> {
    let options = std::env::args().nth(2).unwrap_or_default();
    let options: Options = serde_json::from_str(&options).unwrap();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let mut settings = redis::Settings::new(options.url.parse()?, "watcher");
    settings.replay = options.replay;
    settings.configure = options.configure;
    settings.max_in_hand = options.max_in_hand;
    let metrics = Arc::new(Metrics::default());
    let mut source = RedisSource::open(settings, Arc::clone(&metrics)).await?;
    let letters = Arc::new(DeadLetterFile::open(options.folder.join("dead.jsonl")).unwrap());
    let record = OpenOptions::new().create(true).append(true).open(options.folder.join("events")).unwrap();
    let (work, records) = (Duration::from_millis(options.work), options.record);
    let new_worker = move || {
        let mut record = record.try_clone().unwrap();
        move |event: &Event, _: u32| {
            if records {
                let line = match &event.change {
                    Change::Set(value) => format!("{}={}\n", event.key, String::from_utf8_lossy(value)),
                    Change::Delete => format!("{} gone\n", event.key),
                };
                // This is one write, so the lines of several processes do not mix.
                record.write_all(line.as_bytes()).unwrap();
            }
            async move {
                if !work.is_zero() {
                    tokio::time::sleep(work).await;
                }
                Outcome::Handled
            }
        }
    };
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let stop = async move {
        term.recv().await;
    };
    let delivery = Settings::with_workers(options.workers);
    let ended = deliver(&mut source, new_worker, &delivery, letters, Arc::clone(&metrics), stop).await;
    tracing::info!(?ended, snapshot = ?metrics.snapshot(), "ended");
    Ok(())
}
