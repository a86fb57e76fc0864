//! Serves the watchers of a configuration, each with its source, in one runtime.

use std::collections::HashMap;
use std::future::Future;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kvwatch::Engine;
use kvwatch::serve::{
    Cause, Crew, DeadLetterFile, DeadLetterLog, DeadLetters, Escaped, Metrics, Source, Workers, deliver,
};
use kvwatch::sources::nats::{self, NatsSource};
use kvwatch::sources::redis::{self, RedisSource};
use kvwatch::stores::{Acting, Depth, Feedback, Granted, RedisStore};
use kvwatch::world::store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::config::Config;
use super::http;
use super::live::Live;
use super::options::{FEED_OF_REDIS, Options};
use super::redis::SourceSettings;
use super::reload::Reload;
use super::text::{Letters, Text};
use crate::cli::signals::Signals;
use crate::cli::watcher::WatcherArgs;
use crate::cli::{FAILED, MISSING, Result, UNABLE, args, chain};

/// A write that does not come back within this time never comes back.
const FEEDBACK_PERIOD: Duration = Duration::from_secs(10);

/// One watcher, as `--listen` sees it.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) name: String,
    pub(super) metrics: Arc<Metrics>,
    pub(super) crew: Crew,
    /// Asks whether the store is connected. It is set once the source is open.
    connected: Arc<OnceLock<Box<dyn Fn() -> bool + Send + Sync>>>,
}

impl Served {
    pub(super) fn is_ready(&self) -> bool {
        self.connected.get().is_some_and(|connected| connected())
    }

    /// Workers that act on the granted buckets of a store. Each has the `store` of its own depth.
    fn workers(
        &self,
        options: &Options,
        event_bucket: String,
        store: impl Fn(&Depth) -> Arc<dyn Store> + Send + Sync + 'static,
    ) -> Workers {
        let (grants, denials) = (options.buckets(), Arc::clone(self.crew.denials()));
        self.crew.workers_acting(options.delivery().workers, move || {
            let depth = Depth::default();
            let store = Granted::new(store(&depth), &event_bucket, &grants).telling(&denials);
            Acting { store: Arc::new(store), event_bucket: event_bucket.clone(), depth }
        })
    }
}

/// The parts of one watcher. They are checked before the first watcher starts.
struct Job {
    options: Options,
    source: SourceSettings,
    /// The destination of dead letters, unless it is a subject of the store.
    letters: Arc<dyn DeadLetters>,
    served: Served,
    reload: Option<Reload>,
}

impl Job {
    fn new(options: Options) -> Result<Self> {
        let source = options.source()?;
        let path = options.watcher.clone().ok_or("no watcher: name a component, or the folder of its package")?;
        let letters = local_letters(&options)?;
        let engine = engine(&options)?;
        let reload = options.reload.unwrap_or_default();
        if reload && path.is_dir() {
            return Err(format!(
                "--reload waits for a new component, and {} is the folder of a package: build it, and name the component",
                path.display()
            )
            .into());
        }
        // This comes before the read of the file: a file that replaces it from now on is new.
        let reload = reload.then(|| Reload::new(path.clone()));
        let watcher = WatcherArgs::of(path).component()?.load(&engine)?;
        for stub in watcher.unused_stubs() {
            tracing::warn!("{}", args::unused_stub(&watcher, stub));
        }
        let served = Served {
            name: source.name().to_owned(),
            metrics: Arc::default(),
            crew: Crew::new(watcher, options.fresh.unwrap_or_default()),
            connected: Arc::default(),
        };
        Ok(Self { options, source, letters, served, reload })
    }

    /// Serves until `stop` is finished, or the source fails permanently.
    async fn serve(self, stop: impl Future<Output = ()>) -> std::result::Result<(), Cause> {
        let Self { options, source, letters, served, reload } = self;
        // It ends with the delivery, because the set is dropped then.
        let mut beside = JoinSet::new();
        if let Some(reload) = reload {
            beside.spawn(reload.run(served.crew.clone()).in_current_span());
        }
        let mut stop = std::pin::pin!(stop);
        let metrics = Arc::clone(&served.metrics);
        // A source may wait for its store for ever.
        match source {
            SourceSettings::Nats(settings) => {
                let event_bucket = settings.address.bucket().to_owned();
                let mut source = tokio::select! {
                    source = NatsSource::open(settings, metrics) => source?,
                    () = &mut stop => return Ok(()),
                };
                let client = source.connection();
                let _ = served
                    .connected
                    .set(Box::new(move || client.connection_state() == async_nats::connection::State::Connected));
                let letters = match &options.dead_letters {
                    Some(Text(Letters::Subject(subject))) => {
                        let letters = source.letters(subject);
                        letters.check().await?;
                        Arc::new(letters)
                    }
                    _ => letters,
                };
                let stores = source.store();
                let partial = options.allow_partial_batches.unwrap_or_default();
                let workers = served.workers(&options, event_bucket, move |depth| {
                    Arc::new(stores.clone().of_worker(depth.clone()).allow_partial_batches(partial))
                });
                deliver_from(&mut source, &workers, &served, &options, letters, stop).await
            }
            SourceSettings::Redis(mut settings) => {
                let event_bucket = settings.address.database().to_string();
                let stores: Arc<dyn Store> = Arc::new(RedisStore::new(settings.address.clone(), settings.auth.clone()));
                let limit = options.feed.unwrap_or(FEED_OF_REDIS);
                let feedback = Arc::new(Feedback::new(&*event_bucket, limit, FEEDBACK_PERIOD));
                let record = Arc::clone(&feedback);
                settings.depth_of = redis::DepthOf::new(move |key| record.depth_of(key));
                let mut source = tokio::select! {
                    source = RedisSource::open(settings, metrics) => source?,
                    () = &mut stop => return Ok(()),
                };
                let _ = served.connected.set(Box::new(source.is_connected()));
                let workers = served.workers(&options, event_bucket, move |depth| {
                    let depth = depth.clone();
                    feedback.guard(Arc::clone(&stores), move || depth.of_event())
                });
                deliver_from(&mut source, &workers, &served, &options, letters, stop).await
            }
        }
    }
}

/// The destination of dead letters that needs no store.
fn local_letters(options: &Options) -> Result<Arc<dyn DeadLetters>> {
    let Some(Text(Letters::File(path))) = &options.dead_letters else { return Ok(Arc::new(DeadLetterLog)) };
    let file = DeadLetterFile::open(path);
    Ok(Arc::new(file.map_err(|cause| {
        format!("cannot write to --dead-letters {}: {cause}; name a file that kvwatch can write to", path.display())
    })?))
}

async fn deliver_from(
    source: &mut impl Source,
    workers: &Workers,
    served: &Served,
    options: &Options,
    letters: Arc<dyn DeadLetters>,
    stop: impl Future<Output = ()>,
) -> std::result::Result<(), Cause> {
    let settings = options.delivery();
    let summary = deliver(source, || workers.worker(), &settings, letters, Arc::clone(&served.metrics), stop).await?;
    if summary.unfinished > 0 {
        tracing::warn!(unfinished = summary.unfinished, "the grace time is over; these events did not finish");
    }
    tracing::info!(given_back = summary.given_back, "stopped");
    Ok(())
}

fn engine(options: &Options) -> Result<Engine> {
    let limits = Engine::builder()
        .grants(options.grants()?)
        .cache(args::cache(options.no_cache.unwrap_or_default()))
        .time_limit(options.time.as_ref().map(|Text(time)| *time))
        .memory_limit(options.memory.as_ref().map(|Text(size)| size.0))
        .fuel_limit(options.fuel);
    let workers = options.workers.map_or(1, u32::from);
    args::engine(&limits, options.fresh.unwrap_or_default().then_some(workers))
}

/// Serves all watchers until a signal, or until one of them fails permanently.
pub(super) fn run(config: Config) -> Result<ExitCode> {
    // A signal during a build ends cargo too.
    let signals = Signals::install()?;
    let jobs = config.watchers.into_iter().map(Job::new).collect::<Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(async {
        let listener = match config.listen {
            Some(listen) => Some(TcpListener::bind(listen.0).await.map_err(|cause| {
                format!("cannot offer metrics at --listen {}: {cause}; choose another port", listen.0)
            })?),
            None => None,
        };
        serve(jobs, listener, signals).await
    });
    // A handler that is still running after the grace time is not waited for.
    runtime.shutdown_background();
    code
}

async fn serve(jobs: Vec<Job>, listener: Option<TcpListener>, builds: Signals) -> Result<ExitCode> {
    let served: Arc<[Served]> = jobs.iter().map(|job| job.served.clone()).collect();
    if let Some(listener) = listener {
        tracing::info!(address = %listener.local_addr()?, "offering metrics");
        tokio::spawn(http::listen(listener, Arc::clone(&served)));
    }
    // It is drawn until the delivery ends.
    let _live = Live::start(Arc::clone(&served));
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    let mut names = HashMap::new();
    for job in jobs {
        let mut stopped = stopped.clone();
        let name = job.served.name.clone();
        let span = tracing::info_span!("serve", watcher = name);
        let until = async move { _ = stopped.wait_for(|stop| *stop).await };
        // The error is logged in the span, which names the watcher.
        let served = async move { Box::pin(job.serve(until)).await.map_err(|cause| failed(&cause)) };
        names.insert(running.spawn(served.instrument(span)).id(), name);
    }
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    builds.leave();
    let mut code = ExitCode::SUCCESS;
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                None => return Ok(code),
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(failure))) => {
                    code = failure;
                    stop.send_replace(true);
                }
                Some(Err(cause)) => {
                    let watcher = names.get(&cause.id());
                    tracing::error!(watcher, cause = %Escaped::whole(&cause.to_string()), "a delivery ended in a panic, which is a fault of kvwatch");
                    code = FAILED.into();
                    stop.send_replace(true);
                }
            },
            number = either(&mut term, &mut int) => {
                if stop.send_replace(true) {
                    tracing::warn!("a second signal: ending at once; the events in hand come again");
                    std::process::exit(128 + number);
                }
            }
        }
    }
}

async fn either(term: &mut Signal, int: &mut Signal) -> i32 {
    tokio::select! {
        _ = term.recv() => SignalKind::terminate().as_raw_value(),
        _ = int.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

fn failed(cause: &Cause) -> ExitCode {
    tracing::error!(cause = %Escaped::whole(&chain(&**cause)), "cannot go on");
    let is_missing = cause.downcast_ref::<nats::Error>().is_some_and(nats::Error::is_missing_store)
        || cause.downcast_ref::<redis::Error>().is_some_and(redis::Error::is_missing_store);
    let is_wrong = cause.downcast_ref::<nats::Error>().is_some_and(nats::Error::is_wrong_option);
    match (is_missing, is_wrong) {
        (true, _) => MISSING.into(),
        (_, true) => UNABLE.into(),
        _ => FAILED.into(),
    }
}
