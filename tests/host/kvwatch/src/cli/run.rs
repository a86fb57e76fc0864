use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueHint};
use kvwatch::world::{Instance, Personality};
use kvwatch::{ByteSize, Engine, Grants, Output, Stream, Watched};

use super::progress::Progress;
use super::report::{Json, Plain, Report};
use super::runner::Runner;
use super::watch::{Change, Watch};
use super::watcher::WatcherArgs;
use super::{FAILED, Result, UNABLE, args, prompt, screen, style};

const EXAMPLES: &str = r#"Events:
  {"op":"set","key":"users/ada","value":"hello"}
  {"op":"set","key":"avatars/ada","base64":"iVBORw0KGgo="}
  {"op":"delete","key":"users/ada"}"#;

/// Give a watcher events, and tell what became of them
///
/// Events are lines of JSON, of a file or of standard input. Where that is a terminal, they are typed at a prompt: `help` there tells how.
///
/// What the watcher writes is shown as it comes; what kvwatch says goes to standard error. An event that traps has failed, and
/// the next one goes to a fresh instance.
///
/// With --watch, a package is built and loaded anew whenever its Cargo.toml, its build.rs or something in its src changes, and a
/// component when its file does. The store stays as it is, and the watcher starts with a fresh instance. Events from a file are
/// given again to the new watcher, and also when the file changes. A watcher that does not build leaves the old one at work.
///
/// Exits with 0 where all events were handled; with 1 where one failed, or the watcher did something wrong with a handle; and
/// with 2 where the watcher cannot be run, or the events cannot be read to their end. A line that is no event is passed over,
/// and alone makes no failure of a run, unless it is --strict.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command")]
pub(crate) struct Run {
    #[command(flatten)]
    watcher: WatcherArgs,

    /// A file of events, or `-` for standard input; without it, standard input, or a prompt where that is a terminal
    #[arg(value_hint = ValueHint::FilePath)]
    events: Option<PathBuf>,

    /// Build and load the watcher anew when its source changes
    #[arg(long)]
    watch: bool,

    /// How the host deviates: a name, or a .json file; a name that there is not gets the list of them
    #[arg(long, value_name = "NAME|FILE.json", value_parser = args::PersonalityParser, hide_possible_values = true)]
    personality: Option<Personality>,

    /// Make a fresh instance for every event
    #[arg(long)]
    fresh: bool,

    /// Stop at a line that is no event
    #[arg(long)]
    strict: bool,

    /// Let an event take no longer, as 500ms or 2s
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    time: Option<Duration>,

    /// Let an instance have no more memory, its tables included, as 64MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// Let an event consume no more fuel, which is about an instruction
    #[arg(long, value_name = "NUMBER")]
    fuel: Option<u64>,

    /// Set an environment variable of the watcher; without a value, to what kvwatch itself has
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Let the watcher read and write a folder, or only read it
    #[arg(long, value_name = "HOST::GUEST[:ro]")]
    dir: Vec<String>,

    /// Replace an interface that kvwatch does not have by functions that trap
    #[arg(long, value_name = "INTERFACE")]
    stub: Vec<String>,

    /// Write a JSON object to standard output for every event, with what the watcher wrote in it, and one for the summary
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
        let limits = Engine::builder()
            .grants(grants(&self.env, &self.dir, &self.stub)?)
            .time_limit(self.time)
            .memory_limit(self.memory.map(|ByteSize(bytes)| bytes))
            .fuel_limit(self.fuel);
        // Without a pool, to make an instance takes longer than most events. Not every machine has room for one.
        let pooled = (personality.instance == Instance::PerEvent).then(|| limits.clone().pooled(1).build().ok());
        let engine = pooled.flatten().map_or_else(|| limits.build(), Ok)?;
        let component = self.watcher.component()?;
        let watcher = component.load(&engine)?;
        let has_stderr = watcher.imports().iter().any(|import| import.name.starts_with("wasi:cli/stderr@"));
        let output = if self.json { Output::captured() } else { source.output() };
        let store = Watched::new(watcher.session().personality(personality).output(output).timed().build());
        let report: Box<dyn Report> = if self.json { Box::new(Json) } else { Box::new(Plain { has_stderr }) };
        let mut runner = Runner::new(store, report, self.strict);
        let watch = self.watch.then(|| Watch::new(&self.watcher, &engine, component, source.path())).transpose()?;
        let complete = match source {
            Source::Stdin => runner.replay("standard input", io::stdin().lock(), watch.as_ref())?,
            Source::Prompt => {
                prompt::run(&mut runner, watch.as_ref())?;
                true
            }
            Source::File(path) => {
                let complete = replay_file(&mut runner, &path)?;
                if let Some(watch) = &watch {
                    follow(&mut runner, &path, watch)?;
                }
                complete
            }
        };
        let stats = runner.summary()?;
        Ok(if !complete {
            UNABLE.into()
        } else if stats.is_clean() {
            ExitCode::SUCCESS
        } else {
            FAILED.into()
        })
    }
}

/// What the flags grant.
fn grants(env: &[String], dirs: &[String], stubs: &[String]) -> Result<Grants> {
    let mut grants = Grants::new();
    for variable in env {
        grants = match variable.split_once('=') {
            Some((name, value)) => grants.env(name, value),
            None => {
                let value = std::env::var(variable).map_err(|error| {
                    format!("--env {variable}: {error}; give the value, as `--env {variable}=VALUE`")
                })?;
                grants.env(variable, value)
            }
        };
    }
    for dir in dirs {
        let Some((host, guest)) = dir.split_once("::").filter(|(host, guest)| !host.is_empty() && !guest.is_empty())
        else {
            return Err(
                format!("--dir {dir} names no two folders: write `--dir HOST::GUEST` or `HOST::GUEST:ro`").into()
            );
        };
        grants = match guest.strip_suffix(":ro") {
            Some(guest) => grants.read_only_dir(host, guest),
            None => grants.dir(host, guest),
        };
    }
    Ok(stubs.iter().fold(grants, |grants, stub| grants.stub(stub)))
}

/// Gives the watcher the events of a file.
pub(super) fn replay_file(runner: &mut Runner, path: &Path) -> Result<bool> {
    let name = path.display();
    let (len, file) = File::open(path)
        .and_then(|file| Ok((file.metadata()?.len(), file)))
        .map_err(|error| format!("cannot read events from {name}: {error}"))?;
    runner.replay(&name.to_string(), Progress::new(BufReader::new(file), len), None)
}

/// Gives it to them again, with every change, for as long as it is let.
fn follow(runner: &mut Runner, path: &Path, watch: &Watch) -> Result<()> {
    loop {
        runner.summary()?;
        style::say(&style::styled(style::FAINT, "waiting for a change: Ctrl-C ends it"));
        if let Change::Watcher(watcher) = watch.wait()? {
            runner.reload(*watcher);
        }
        // A file that is gone now is back with the next change.
        if let Err(error) = replay_file(runner, path) {
            style::error(&error.to_string());
        }
    }
}

/// Where events come from.
enum Source {
    File(PathBuf),
    Stdin,
    Prompt,
}

impl Source {
    fn of(path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) if path.as_os_str() != "-" => {
                File::open(path).map_err(|error| format!("cannot read events from {}: {error}", path.display()))?;
                Ok(Self::File(path.to_owned()))
            }
            None if io::stdin().is_terminal() => Ok(Self::Prompt),
            _ => Ok(Self::Stdin),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdin | Self::Prompt => None,
        }
    }

    /// Where the watcher's output goes: past the bar, where there may be one.
    fn output(&self) -> Output {
        if matches!(self, Self::Stdin) || !screen::is_watched() {
            return Output::inherited();
        }
        Output::lines(|stream, line| match stream {
            // Whoever closed the other end wants no more of it: that is not the watcher's failure.
            Stream::Stdout => _ = style::print_as_it_is(line),
            Stream::Stderr => style::say_as_it_is(line),
        })
    }
}
