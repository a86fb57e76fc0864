//! The process that serves: its handler writes what it does to a file, and fails as its variables say.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kvwatch::serve::{Change, DeadLetterFile, Event, Metrics, Outcome, Retry, Settings, deliver};
use kvwatch::sources::nats::{self, NatsSource, Since};

use crate::record::Failure;

pub(crate) const COMMAND: &str = "serve-events";

/// How a process serves.
#[derive(Clone, Debug)]
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
        }
    }
}

/// A process that serves. It is killed when this is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(options: &Options) -> Result<Self, Failure> {
        let Options { url, bucket, folder, workers, work, ack_wait, shared, poison, trap, wait } = options;
        let log = OpenOptions::new().create(true).append(true).open(folder.join("log"))?;
        Command::new(std::env::current_exe()?)
            .arg(COMMAND)
            .args([url, bucket])
            .arg(folder)
            .args([workers.to_string(), work.to_string(), ack_wait.to_string(), shared.to_string()])
            .args([poison, trap, &wait.to_string()])
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

    /// Waits for the end, up to some seconds, and returns the exit code.
    pub(crate) async fn end(&mut self) -> Result<i32, Failure> {
        for _ in 0..200 {
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
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let [url, bucket, folder, workers, work, ack_wait, shared, poison, trap, wait] = &arguments[..] else { panic!() };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let folder = Path::new(folder);
    let work = Duration::from_millis(work.parse().unwrap());
    let mut settings = nats::Settings::new(format!("{url}/{bucket}").parse()?, "watcher");
    settings.since = Since::All;
    settings.ack_wait = Duration::from_millis(ack_wait.parse().unwrap());
    settings.shared = shared == "true";
    settings.wait = wait == "true";
    let metrics = Arc::new(Metrics::default());
    let mut source = NatsSource::open(settings, Arc::clone(&metrics)).await?;
    let letters = Arc::new(DeadLetterFile::open(folder.join("dead.jsonl")).unwrap());
    let record = OpenOptions::new().create(true).append(true).open(folder.join("record")).unwrap();
    let (poison, trap) = (poison.clone(), trap.clone());
    let new_worker = move || {
        let (record, poison, trap) = (record.try_clone().unwrap(), poison.clone(), trap.clone());
        move |event: &Event, _: u32| handle(record.try_clone().unwrap(), event.clone(), work, &poison, &trap)
    };
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let stop = async move {
        term.recv().await;
    };
    let mut delivery = Settings::with_workers(workers.parse().unwrap());
    delivery.retry = Retry { attempts: 3, first: Duration::from_millis(50), longest: Duration::from_secs(1) };
    let ended = deliver(&mut source, new_worker, &delivery, letters, Arc::clone(&metrics), stop).await;
    tracing::info!(?ended, snapshot = ?metrics.snapshot(), "ended");
    Ok(())
}

/// Each line is one write, so lines of several processes do not mix.
fn handle(
    mut record: File,
    event: Event,
    work: Duration,
    poison: &str,
    trap: &str,
) -> impl Future<Output = Outcome> + use<> {
    let value = match &event.change {
        Change::Set(value) => String::from_utf8_lossy(value).into_owned(),
        Change::Delete => "deleted".into(),
    };
    let (poisoned, trapped) = (value.starts_with(poison), value.starts_with(trap));
    let mut write = move |step: &str| {
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
