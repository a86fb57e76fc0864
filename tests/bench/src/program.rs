//! Compares `kvwatch run` from end to end with loops that do the same work, each in a process. The measure is the CPU
//! time of all threads, in the program and in the system. Other processes disturb it less than wall-clock time.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use wasm_targets::Target;
use wasmtime::error::Context as _;
use wasmtime::{Result, ensure};

use crate::guests::{self, Guests, Side, children, root};
use crate::peers::{PEER, Writes};
use crate::timed::Paired;

/// The number of pairs that are measured.
const PAIRS: usize = 9;

/// The programs that are compared, and the files that they use.
#[derive(Debug)]
pub struct Programs {
    kvwatch: PathBuf,
    /// The benchmark itself, built with `kvwatch`. The build may replace the running program, which then has no path.
    peer: PathBuf,
    folder: TempDir,
}

/// The work for each event.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// The name of the work in the table.
    pub name: &'static str,
    /// The guests, by hand and with the SDK.
    guests: [&'static str; 2],
    target: Target,
    writes: Writes,
    fresh: bool,
    /// The name of the native loop for this work.
    native: Option<&'static str>,
    events: u64,
}

/// All work in the table.
pub const WORK: [Work; 5] = [
    Work {
        name: "sums up 7 B, instance kept",
        guests: ["hand_sums", "sdk_sums"],
        target: Target::UnknownUnknown,
        writes: Writes::Printed,
        fresh: false,
        native: Some("sums"),
        events: 500_000,
    },
    Work {
        name: "prints the key, instance kept",
        guests: ["hand_prints", "sdk_prints"],
        target: Target::Wasip2,
        writes: Writes::Printed,
        fresh: false,
        native: Some("prints"),
        events: 200_000,
    },
    Work {
        name: "sums up 7 B, `--json`",
        guests: ["hand_sums", "sdk_sums"],
        target: Target::UnknownUnknown,
        writes: Writes::Json,
        fresh: false,
        native: None,
        events: 300_000,
    },
    Work {
        name: "sums up 7 B, `--fresh`",
        guests: ["hand_sums", "sdk_sums"],
        target: Target::UnknownUnknown,
        writes: Writes::Printed,
        fresh: true,
        native: None,
        events: 20_000,
    },
    Work {
        name: "prints the key, `--fresh`",
        guests: ["hand_prints", "sdk_prints"],
        target: Target::Wasip2,
        writes: Writes::Printed,
        fresh: true,
        native: None,
        events: 10_000,
    },
];

/// The program that does the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doer {
    /// A native loop, without WebAssembly.
    Native,
    /// A loop around wasmtime, with this guest.
    Bare(Side),
    /// `kvwatch run`, with the guest of the SDK.
    Kvwatch,
    /// A loop around jco in Node, with the guest of the SDK.
    Jco,
}

impl Work {
    /// The name of the loop that does this work without WebAssembly.
    #[must_use]
    pub fn native(&self) -> Option<&'static str> {
        self.native
    }
}

impl Programs {
    /// Builds `kvwatch` and the benchmark with the profile `bench`.
    ///
    /// # Errors
    ///
    /// When cargo fails.
    pub fn build() -> Result<Self> {
        // One build makes both programs, so that they contain the same crates.
        let mut programs = guests::programs(&["bench", "kvwatch"])?;
        let mut program =
            |name: &str| programs.remove(name).with_context(|| format!("cargo has built no program `{name}`"));
        Ok(Self { kvwatch: program("kvwatch")?, peer: program("bench")?, folder: tempfile::tempdir()? })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a component into the folder. Returns its path.
    pub(crate) fn component(&self, side: Side, target: Target, guest: &str) -> Result<PathBuf> {
        let path = self.folder().join(format!("{guest}-{target}.wasm"));
        if !path.exists() {
            fs::write(&path, Guests::of_names(side, target, [guest])?.get(guest)?)?;
        }
        Ok(path)
    }

    /// Writes a file with this number of sets of a thousand keys. Each value has 7 bytes. Returns the path of the file.
    pub(crate) fn events(&self, count: u64) -> Result<PathBuf> {
        let path = self.folder().join(format!("{count}.jsonl"));
        if !path.exists() {
            let mut file = BufWriter::new(File::create(&path)?);
            for number in 0..count {
                writeln!(file, r#"{{"op":"set","key":"users/{}","value":"7 bytes"}}"#, number % 1000)?;
            }
            file.flush()?;
        }
        Ok(path)
    }

    /// The command `kvwatch run`. From the second start on, it finds the compiled component in its cache.
    pub(crate) fn kvwatch(&self, component: &Path, events: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.kvwatch);
        command.arg("run").args([component, events]).args(arguments);
        command.env(kvwatch::Cache::FOLDER_VARIABLE, self.folder().join("cache"));
        command
    }

    fn command(&self, work: &Work, doer: Doer, events: u64) -> Result<Command> {
        let Work { guests: [by_hand, with_sdk], target, writes, .. } = *work;
        let file = self.events(events)?;
        let kind = if work.fresh { "fresh" } else { "kept" };
        let mut peer = Command::new(&self.peer);
        peer.arg(PEER);
        Ok(match doer {
            Doer::Native => {
                peer.arg("native").arg(file).arg(work.native.context("this work has no native loop")?);
                peer
            }
            Doer::Bare(side) => {
                let guest = if side == Side::ByHand { by_hand } else { with_sdk };
                peer.arg(kind).arg(file).arg(self.component(side, target, guest)?).arg(writes.name());
                peer
            }
            Doer::Kvwatch => {
                let mut arguments = Vec::new();
                arguments.extend((writes == Writes::Json).then_some("--json"));
                arguments.extend(work.fresh.then_some("--fresh"));
                self.kvwatch(&self.component(Side::WithSdk, target, with_sdk)?, &file, &arguments)
            }
            Doer::Jco => {
                let mut node = Command::new("node");
                node.current_dir(Self::jco()?).arg("peer.mjs");
                node.arg(self.component(Side::WithSdk, target, with_sdk)?).arg(file);
                node
            }
        })
    }

    /// A folder with jco, which npm installs once.
    fn jco() -> Result<PathBuf> {
        let folder = root().join("target/bench-node");
        let source = root().join("tests/second-host/node");
        fs::create_dir_all(&folder)?;
        fs::copy(root().join("tests/bench/node/peer.mjs"), folder.join("peer.mjs"))?;
        if !folder.join("node_modules").exists() {
            for file in [".npmrc", "package.json", "package-lock.json"] {
                fs::copy(source.join(file), folder.join(file))?;
            }
            let status = Command::new("npm").args(["install", "--loglevel=error"]).current_dir(&folder).status()?;
            ensure!(status.success(), "npm failed to install jco");
        }
        Ok(folder.canonicalize()?)
    }

    /// Checks that two programs write the same output.
    fn compare(&self, work: &Work, left: Doer, right: Doer) -> Result<()> {
        let written = |doer| -> Result<String> {
            let output = self.command(work, doer, 1000)?.stderr(Stdio::null()).output()?;
            ensure!(output.status.success(), "{doer:?} failed: {}", work.name);
            Ok(String::from_utf8(output.stdout)?.lines().filter_map(comparable).collect())
        };
        ensure!(written(left)? == written(right)?, "{left:?} and {right:?} write different output: {}", work.name);
        Ok(())
    }

    /// Runs a process. Returns its CPU time.
    pub(crate) fn cpu_time(mut command: Command) -> Result<Duration> {
        let before = children()?;
        // A pipe would add the time of its reader, and a file the time of a disk.
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "{command:?} failed");
        Ok(children()?.saturating_sub(before))
    }

    /// The CPU times of an event in two programs.
    ///
    /// # Errors
    ///
    /// When a program fails, or the two programs write different output.
    pub fn pair(&self, work: &Work, left: Doer, right: Doer) -> Result<Paired> {
        self.compare(work, left, right)?;
        let time = |doer| Self::cpu_time(self.command(work, doer, work.events)?);
        let events = u32::try_from(work.events)?;
        let all = Paired::measure(PAIRS, || time(left), || time(right))?;
        Ok(Paired { left: all.left / events, right: all.right / events, ..all })
    }
}

/// Removes the time from a line, because it differs between runs. Returns `None` for the summary: the loops have none.
fn comparable(line: &str) -> Option<String> {
    let line = match line.split_once(r#","nanoseconds":"#) {
        Some((before, after)) => format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => line.to_owned(),
    };
    (!line.contains(r#""summary":"#)).then(|| line + "\n")
}
