use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};
use kvwatch::sources::Lines;
use kvwatch::world::store::MemoryStore;
use kvwatch::world::{EVENT_BUCKET, Events, Instance, Personality, open_events};
use kvwatch::{ByteSize, Engine, Output, Watched};

use super::guest::GuestOutput;
use super::progress::{Progress, Spinner};
use super::report::{Json, Plain, Report};
use super::runner::Runner;
use super::signals::Signals;
use super::store_file::StoreFile;
use super::watch::{Change, Watch, say_waiting};
use super::watcher::WatcherArgs;
use super::{EXIT_CODES, FAILED, OUTPUT_FAILED, Result, UNABLE, args, chain, is_broken_pipe, prompt, screen, style};

const EXAMPLES: &str = r#"Events:
  {"op":"set","key":"users/ada","value":"hello"}
  {"op":"set","key":"avatars/ada","base64":"iVBORw0KGgo="}
  {"op":"set","key":"avatars/bob","file":"bob.png"}
  {"op":"delete","key":"users/ada"}
A "file" is relative to the file of events. Unknown fields are ignored.

--json writes an object for each event, one for each bad line, and a summary.
https://docs.rs/crate/kvwatch/latest/source/docs/json.md describes them."#;

/// Give a watcher events, and report the result of each
///
/// Events are lines of JSON in a file or on standard input. If standard input is a terminal, you type them at a prompt. Type
/// `help` there to see the commands.
///
/// The output of the watcher is shown at once. kvwatch itself writes to standard error. If an event traps, it has failed, and the
/// next event goes to a fresh instance.
///
/// With --watch, kvwatch builds and loads a package again when a file changes that its build read. Path dependencies and files of
/// `include_str!` are among these files. A component is loaded again when its file changes. The store does not change, and the
/// watcher starts with a fresh instance. The new watcher gets the events of a file again. It also gets them when that file
/// changes.
///
/// If a build fails, the old watcher continues. Before the first build that succeeds, kvwatch waits for a change. If a build
/// script fails because a file outside of the package is missing, it does not tell cargo about that file. After you made the
/// file, save a file of the package too.
///
/// A watcher may act on the store that its events come from. With --store, the store is loaded from a file. The file has the
/// format of events, with a line `{"op":"set","key":…,"value":…}` for each key. The field `bucket` names another bucket than the
/// watched one. kvwatch replaces the file as a whole at the end of the run, and at the prompt after each command.
///
/// The watcher's own writes do not come back to it as events, unless you give --feed.
///
/// A line that is not an event is reported and skipped. Such lines do not make the run fail, even if no line was an event. The
/// summary says so then. With --strict, the first such line ends the run with the exit code 2.
///
/// Ctrl-C and SIGTERM end a run after the current event, with the summary. A second one ends the run at once.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct Run {
    #[command(flatten)]
    watcher: WatcherArgs,

    /// A file of events, or `-` for standard input. Without it, events come from standard input, or from a prompt if that is a
    /// terminal
    #[arg(value_hint = ValueHint::FilePath)]
    events: Option<PathBuf>,

    /// Load the store from a file, and save it there. The file is made if it does not exist
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    store: Option<PathBuf>,

    /// Give the watcher its own writes of the watched bucket as events, at most DEPTH times in a row
    #[arg(long, value_name = "DEPTH", default_value_t = 0, hide_default_value = true)]
    feed: u32,

    /// Build and load the watcher again when its source changes
    #[arg(long)]
    watch: bool,

    /// Let the host deviate from the usual behaviour: a name, or a .json file. An unknown name shows the list of names
    #[arg(long, value_name = "NAME|FILE.json", value_parser = args::PersonalityParser, hide_possible_values = true)]
    personality: Option<Personality>,

    /// Make a fresh instance for every event
    #[arg(long)]
    fresh: bool,

    /// Stop at a line that is not an event
    #[arg(long)]
    strict: bool,

    /// Refuse lines that are longer
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    max_line: ByteSize,

    /// Limit the time of an event, for example 500ms or 2s
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    time: Option<Duration>,

    /// Limit the memory of an instance, with its tables, for example 64MiB
    #[arg(long, value_name = "SIZE", value_parser = args::memory)]
    memory: Option<ByteSize>,

    /// Limit the fuel of an event. An instruction consumes about one unit
    #[arg(long, value_name = "NUMBER", value_parser = args::fuel)]
    fuel: Option<u64>,

    /// Set an environment variable of the watcher. Without a value, it gets the value that kvwatch has
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Let the watcher read and write a folder. With `:ro`, it can only read it
    #[arg(long, value_name = "HOST::GUEST[:ro]")]
    dir: Vec<String>,

    /// Let the watcher send HTTP requests to a host, on one port or on all. `*` stands for every host
    #[cfg(feature = "http")]
    #[arg(long, value_name = "NAME[:PORT]")]
    allow_host: Vec<kvwatch::AllowedHost>,

    /// Replace an interface that kvwatch does not offer with functions that trap
    #[arg(long, value_name = "INTERFACE")]
    stub: Vec<String>,

    /// Write a JSON object to standard output for each event, with the output of the watcher, and one for the summary
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let source = Source::of(self.events.as_deref())?;
        let mut personality = self.personality.unwrap_or_default();
        if self.fresh {
            personality.instance = Instance::PerEvent;
        }
        let grants = args::grants(&self.env, &self.dir, &self.stub)?;
        #[cfg(feature = "http")]
        let grants = self.allow_host.into_iter().fold(grants, kvwatch::Grants::allow_host);
        let limits = Engine::builder()
            .grants(grants)
            .cache(args::cache(self.watcher.no_cache))
            .time_limit(self.time)
            .memory_limit(self.memory.map(|ByteSize(bytes)| bytes))
            .fuel_limit(self.fuel);
        let engine = args::engine(&limits, (personality.instance == Instance::PerEvent).then_some(1))?;
        let max_line = usize::try_from(self.max_line.0).unwrap_or(usize::MAX);
        let (file, kept) = match &self.store {
            Some(path) => {
                let (file, store) = StoreFile::load(path, EVENT_BUCKET, max_line)?;
                (Some(file), store)
            }
            None => (None, MemoryStore::new()),
        };
        let signals = Signals::install()?;
        let watch = self.watch.then(|| Watch::start(&self.watcher, &engine, source.path())).transpose()?;
        let watcher = if let Some(watch) = &watch {
            watch.first()?
        } else {
            let component = self.watcher.component()?;
            let _spinner = Spinner::new("compiling");
            component.load(&engine)?
        };
        for stub in watcher.unused_stubs() {
            style::warning(&args::unused_stub(&watcher, stub));
        }
        let has_stderr = watcher.imports().iter().any(|import| import.name.starts_with("wasi:cli/stderr@"));
        let output = if self.json { Output::captured() } else { Output::to(GuestOutput::new()) };
        let session = watcher.session().personality(personality).output(output).timed();
        let store = Watched::over(kept, session, EVENT_BUCKET);
        // At the prompt, a person reads every change.
        let changes_left = if matches!(source, Source::Prompt) { u64::MAX } else { Plain::CHANGES };
        let report: Box<dyn Report> =
            if self.json { Box::new(Json) } else { Box::new(Plain { has_stderr, changes_left }) };
        let mut runner = Runner::new(store, report, self.strict);
        runner.feed(self.feed);
        if let Some(file) = file {
            runner.save_in(file);
        }
        let limits = ReadLimits { max_line };
        if matches!(source, Source::Prompt) {
            let ended = prompt::run(&mut runner, watch.as_ref(), limits).map(|()| true);
            return finish(&mut runner, ended, None);
        }
        signals.finish_the_event();
        runner.end_with(signals.clone());
        let ended = match source {
            Source::File(path, file) => {
                let mut ended = replay_file(&mut runner, &path, file, limits, Some(&signals));
                if let (Some(watch), Ok(_), None) = (&watch, &ended, signals.code()) {
                    ended = follow(&mut runner, &path, watch, limits, &signals).map(|()| true);
                }
                ended
            }
            Source::Stdin | Source::Prompt => {
                let events = Events::new(signals.stoppable(io::stdin())).max_line(max_line).files_in("");
                runner.replay(&mut Lines::new("standard input", events), watch.as_ref())
            }
        };
        finish(&mut runner, ended, signals.code())
    }
}

/// The limit for events in memory.
#[derive(Clone, Copy)]
pub(super) struct ReadLimits {
    max_line: usize,
}

/// Saves the store, reports the summary, and chooses the exit code.
fn finish(runner: &mut Runner, ended: Result<bool>, signal: Option<u8>) -> Result<ExitCode> {
    let saved = runner.save();
    let code = conclude(runner, ended, signal)?;
    if let Err(error) = saved {
        style::error(&chain(&*error));
        return Ok(UNABLE.into());
    }
    Ok(code)
}

fn conclude(runner: &mut Runner, ended: Result<bool>, signal: Option<u8>) -> Result<ExitCode> {
    let complete = match ended {
        Ok(complete) => complete,
        Err(error) if is_broken_pipe(&*error) => {
            // The reader has closed standard output. The summary on standard error is still read.
            let stats = runner.summary().unwrap_or_default();
            return Ok(if stats.is_clean() { ExitCode::SUCCESS } else { FAILED.into() });
        }
        Err(error) if style::CannotWrite::is(&*error) => {
            style::error(&chain(&*error));
            let _ = runner.summary();
            return Ok(OUTPUT_FAILED.into());
        }
        Err(error) => return Err(error),
    };
    let stats = runner.summary()?;
    Ok(if let Some(code) = signal {
        code.into()
    } else if !complete {
        UNABLE.into()
    } else if stats.is_clean() {
        ExitCode::SUCCESS
    } else {
        FAILED.into()
    })
}

/// Delivers the events of an open file to the watcher.
pub(super) fn replay_file(
    runner: &mut Runner,
    path: &Path,
    file: File,
    limits: ReadLimits,
    signals: Option<&Signals>,
) -> Result<bool> {
    let metadata = file.metadata()?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.display().to_string();
    let reader: Box<dyn io::BufRead> = match signals {
        Some(signals) => Box::new(signals.stoppable(file)),
        None => Box::new(io::BufReader::new(file)),
    };
    // Only a regular file has a length to compare with.
    let reader = if metadata.is_file() && screen::is_watched() {
        Box::new(Progress::new(reader, metadata.len()))
    } else {
        reader
    };
    let events = Events::new(reader).max_line(limits.max_line).files_in(folder);
    runner.replay(&mut Lines::new(name, events), None)
}

/// Delivers the events of the file again after every change, until a signal ends the run.
fn follow(runner: &mut Runner, path: &Path, watch: &Watch, limits: ReadLimits, signals: &Signals) -> Result<()> {
    // Between two replays no event is running, and the summary is already written.
    signals.end_at_once();
    loop {
        runner.summary()?;
        if let Err(error) = runner.save() {
            style::error(&chain(&*error));
        }
        say_waiting();
        if let Change::Watcher(watcher) = watch.wait()? {
            runner.reload(*watcher);
        }
        // A file that is missing now may be back with the next change.
        let replayed = open_events(path).map_err(Into::into);
        let replayed = replayed.and_then(|file| replay_file(runner, path, file, limits, Some(signals)));
        match replayed {
            Err(error) if style::CannotWrite::is(&*error) => return Err(error),
            Err(error) => style::error(&error.to_string()),
            Ok(_) => {}
        }
    }
}

/// The source of the events.
enum Source {
    /// A file or a named pipe, opened once.
    File(PathBuf, File),
    Stdin,
    Prompt,
}

impl Source {
    fn of(path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) if path.as_os_str() != "-" => Ok(Self::File(path.to_owned(), open_events(path)?)),
            None if io::stdin().is_terminal() => Ok(Self::Prompt),
            _ => Ok(Self::Stdin),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path, _) => Some(path),
            Self::Stdin | Self::Prompt => None,
        }
    }
}
