//! The process that serves. Its handler writes its steps to a file, and fails as the options say.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kvwatch::serve::{
    Acked, BoxFuture, Cause, Change, DeadLetterFile, Event, Metrics, Outcome, Position, Retry, Settings, Signal,
    Source, deliver,
};
use kvwatch::sources::nats::{self, NatsSource, Since};
use serde::{Deserialize, Serialize};

use crate::record::Failure;

pub(crate) const COMMAND: &str = "serve-events";

/// The options of a process that serves. It gets them as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) bucket: String,
    pub(crate) folder: std::path::PathBuf,
    pub(crate) workers: usize,
    /// Milliseconds.
    pub(crate) work: u64,
    pub(crate) ack_wait: u64,
    pub(crate) shared: bool,
    /// Values that begin with this end the process.
    pub(crate) poison: String,
    /// Values that begin with this trap.
    pub(crate) trap: String,
    pub(crate) wait: bool,
    pub(crate) max_ack_pending: u32,
    pub(crate) since: Start,
    /// The step at which the process ends itself, and the number of the event, counted from 1.
    pub(crate) die: Option<(Step, u64)>,
    /// Whether the handler writes its starts and ends. A million events are counted only.
    pub(crate) record: bool,
}

/// The start of a new consumer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    All,
    Last,
}

impl Options {
    pub(crate) fn new(url: &str, bucket: &str, folder: &Path) -> Self {
        Self {
            url: url.to_owned(),
            bucket: bucket.to_owned(),
            folder: folder.to_owned(),
            workers: 4,
            work: 1,
            ack_wait: 2000,
            shared: false,
            poison: "poison".into(),
            trap: "trap".into(),
            wait: false,
            max_ack_pending: 500,
            since: Start::All,
            die: None,
            record: true,
        }
    }
}

/// A process that serves. It is killed when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(options: &Options) -> Result<Self, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(options.folder.join("log"))?;
        Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .arg(serde_json::to_string(options)?)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map(Self)
            .map_err(Into::into)
    }

    pub(crate) fn signal(&self, signal: &str) -> Result<(), Failure> {
        Command::new("kill").args([signal, &self.0.id().to_string()]).status()?;
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn has_ended(&mut self) -> Result<Option<i32>, Failure> {
        Ok(self.0.try_wait()?.map(|status| status.code().unwrap_or(-1)))
    }

    /// The most memory that the process had so far, in KiB.
    pub(crate) fn peak_memory(&self) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
        Ok(peak.ok_or("no VmHWM")?.trim().parse()?)
    }

    /// Waits for the end, up to some seconds, and returns the exit code.
    pub(crate) async fn end(&mut self) -> Result<i32, Failure> {
        for _ in 0..600 {
            if let Some(code) = self.has_ended()? {
                return Ok(code);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the process does not end".into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

pub(crate) fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(serve());
    // A handler that is still running is not waited for.
    runtime.shutdown_background();
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(if error.is_missing_store() { 4 } else { 1 });
    }
}

async fn serve() -> Result<(), nats::Error> {
    let options = std::env::args().nth(2).unwrap_or_default();
    let options: Options = serde_json::from_str(&options).unwrap();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let folder = options.folder.clone();
    let mut settings = nats::Settings::new(format!("{}/{}", options.url, options.bucket).parse()?, "watcher");
    settings.since = match options.since {
        Start::All => Since::All,
        Start::Last => Since::Last,
    };
    settings.ack_wait = Duration::from_millis(options.ack_wait);
    settings.shared = options.shared;
    settings.wait = options.wait;
    settings.max_ack_pending = options.max_ack_pending;
    let metrics = Arc::new(Metrics::default());
    let source = NatsSource::open(settings, Arc::clone(&metrics)).await?;
    let mut source = Dying { source, die: options.die, seen: 0 };
    let letters = Arc::new(DeadLetterFile::open(folder.join("dead.jsonl")).unwrap());
    let record = OpenOptions::new().create(true).append(true).open(folder.join("record")).unwrap();
    let handled = options.clone();
    let new_worker = move || {
        let (record, options) = (record.try_clone().unwrap(), handled.clone());
        move |event: &Event, _: u32| handle(record.try_clone().unwrap(), event.clone(), &options)
    };
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let stop = async move {
        term.recv().await;
    };
    let mut delivery = Settings::with_workers(options.workers);
    delivery.retry = Retry { attempts: 3, first: Duration::from_millis(50), longest: Duration::from_secs(1) };
    let ended = deliver(&mut source, new_worker, &delivery, letters, Arc::clone(&metrics), stop).await;
    tracing::info!(?ended, snapshot = ?metrics.snapshot(), "ended");
    Ok(())
}

/// A step of an event at which the process may end itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The event is here, and its handler has not started.
    Received,
    /// The handler has returned, and the ack is not sent.
    Returned,
    /// The ack is confirmed, and the delivery does not know it.
    Acknowledged,
}

/// A source that ends the process at a step of an event.
struct Dying {
    source: NatsSource,
    die: Option<(Step, u64)>,
    seen: u64,
}

impl Dying {
    fn at(&mut self, step: Step) {
        if let Some((_, count)) = self.die.filter(|(at, _)| *at == step) {
            self.seen += 1;
            if self.seen == count {
                std::process::abort();
            }
        }
    }
}

impl Source for Dying {
    async fn next(&mut self) -> Result<Signal, Cause> {
        let signal = self.source.next().await?;
        if let Signal::Event(_) = signal {
            self.at(Step::Received);
        }
        Ok(signal)
    }

    fn ack(&mut self, position: Position) -> BoxFuture<'static, Acked> {
        self.at(Step::Returned);
        self.source.ack(position)
    }

    fn acked(&mut self, position: Position) {
        self.at(Step::Acknowledged);
        self.source.acked(position);
    }

    fn give_back(&mut self, positions: &[Position]) {
        self.source.give_back(positions);
    }

    fn forget(&mut self, positions: &[Position]) {
        self.source.forget(positions);
    }

    fn lease(&self) -> Option<Duration> {
        self.source.lease()
    }

    fn lapsed(&mut self) {
        self.source.lapsed();
    }

    fn capacity(&self) -> usize {
        self.source.capacity()
    }

    async fn close(&mut self, rest: &[Position]) {
        self.source.close(rest).await;
    }
}

/// Each line is one write, so lines of several processes do not mix.
fn handle(mut record: File, event: Event, options: &Options) -> impl Future<Output = Outcome> + use<> {
    let value = match &event.change {
        Change::Set(value) => String::from_utf8_lossy(value).into_owned(),
        Change::Delete => "deleted".into(),
    };
    let (poisoned, trapped) = (value.starts_with(&options.poison), value.starts_with(&options.trap));
    let (work, writes) = (Duration::from_millis(options.work), options.record);
    let mut write = move |step: &str| {
        if !writes {
            return;
        }
        let line = format!("{step} {} {} {} {value}\n", std::process::id(), event.position, event.key);
        record.write_all(line.as_bytes()).unwrap();
    };
    async move {
        write("start");
        if poisoned {
            std::process::abort();
        }
        if !work.is_zero() {
            tokio::time::sleep(work).await;
        }
        if trapped {
            return Outcome::Trapped("asked to".into());
        }
        write("end");
        Outcome::Handled
    }
}
