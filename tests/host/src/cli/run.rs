use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use kvwatch::testing::{Events, Instance, Personality, Problem};
use kvwatch::{ByteSize, Engine, Output, Watched};

use super::report::{Json, Plain, Report, Tally};
use super::watcher::WatcherArgs;
use super::{FAILED, Result, UNABLE, args};

/// Give a watcher events, and tell what became of them
///
/// Events are lines of JSON:
///
///   {"op":"set","key":"users/ada","value":"hello"}
///   {"op":"set","key":"avatars/ada","base64":"iVBORw0KGgo="}
///   {"op":"delete","key":"users/ada"}
///
/// What the watcher writes is shown as it comes; what kvwatch says goes to standard error. An event that traps has failed, and
/// the next one goes to a fresh instance.
///
/// Exits with 0 where all events were handled; with 1 where one failed, or the watcher did something wrong with a handle; and
/// with 2 where the watcher cannot be run, or the events cannot be read to their end. A line that is no event is passed over,
/// and alone makes no failure of a run, unless it is --strict.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Run {
    #[command(flatten)]
    watcher: WatcherArgs,

    /// A file of events, or `-` for standard input, which is the default where it is no terminal
    events: Option<PathBuf>,

    /// How the host deviates: a name, or a .json file
    #[arg(long, value_name = "NAME|FILE.json", value_parser = args::personality)]
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

    /// Let an instance have no more linear memory, as 64MiB
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,

    /// Let an event consume no more fuel, which is about an instruction
    #[arg(long, value_name = "NUMBER")]
    fuel: Option<u64>,

    /// Write a JSON object to standard output for every event, with what the watcher wrote in it, and one for the summary
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let source = Source::of(self.events.as_deref())?;
        let engine = Engine::builder()
            .time_limit(self.time)
            .memory_limit(self.memory.map(|ByteSize(bytes)| bytes))
            .fuel_limit(self.fuel)
            .build()?;
        let watcher = self.watcher.load(&engine)?;
        let has_stderr = watcher.imports().iter().any(|import| import.name.starts_with("wasi:cli/stderr@"));
        let mut personality = self.personality.unwrap_or_default();
        if self.fresh {
            personality.instance = Instance::PerEvent;
        }
        let output = if self.json { Output::captured() } else { Output::inherited() };
        let mut store = Watched::new(watcher.session().personality(personality).output(output).timed().build());
        let mut report: Box<dyn Report> = if self.json { Box::new(Json) } else { Box::new(Plain { has_stderr }) };

        let mut tally = Tally::default();
        let mut complete = true;
        for event in Events::new(source.lines) {
            match event {
                Ok(event) => {
                    let outcome = store.apply(&event);
                    tally.count(&outcome);
                    report.event(tally.events, &event, &outcome)?;
                }
                Err(bad) => {
                    tally.bad_lines += 1;
                    // What cannot be read now cannot be read later.
                    complete = !self.strict && !matches!(bad.problem, Problem::Io(_));
                    report.bad_line(&source.name, &bad, !complete)?;
                    if !complete {
                        break;
                    }
                }
            }
        }
        report.summary(&tally)?;
        Ok(if !complete {
            UNABLE.into()
        } else if tally.is_clean() {
            ExitCode::SUCCESS
        } else {
            FAILED.into()
        })
    }
}

/// Where events come from.
struct Source {
    name: String,
    lines: Box<dyn BufRead>,
}

impl Source {
    fn of(path: Option<&Path>) -> Result<Self> {
        match path {
            Some(path) if path.as_os_str() != "-" => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| format!("cannot read events from {name}: {error}"))?;
                Ok(Self { name, lines: Box::new(BufReader::new(file)) })
            }
            None if io::stdin().is_terminal() => Err(
                "there are no events: name a file of them, or pipe them in; `kvwatch run --help` shows how one looks"
                    .into(),
            ),
            _ => Ok(Self { name: "standard input".to_owned(), lines: Box::new(io::stdin().lock()) }),
        }
    }
}
