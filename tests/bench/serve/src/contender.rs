//! The programs that are compared.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wasmtime::Result;

use crate::process::Process;
use crate::rival::{self, Work};
use crate::server::Server;

/// The files that the contenders need.
pub(crate) struct Programs {
    /// The program kvwatch.
    pub(crate) kvwatch: PathBuf,
    /// The watcher, which sums up the bytes of each payload.
    pub(crate) watcher: PathBuf,
}

/// A program that handles the events of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// A consumer on `async-nats` that only acknowledges events.
    Bare,
    /// The same consumer, but the server confirms each ack, as it does for kvwatch.
    Confirmed,
    /// A consumer that does the watcher's work itself.
    Native,
    /// A consumer that runs the watcher on wasmtime, without kvwatch.
    ByHand,
    /// `kvwatch serve` with this number of workers.
    Kvwatch(u16),
}

impl Contender {
    pub(crate) const ALL: [Self; 7] =
        [Self::Bare, Self::Confirmed, Self::Native, Self::ByHand, Self::Kvwatch(1), Self::Kvwatch(2), Self::Kvwatch(8)];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Bare => "bare".into(),
            Self::Confirmed => "bare, confirmed acks".into(),
            Self::Native => "native".into(),
            Self::ByHand => "wasmtime by hand".into(),
            Self::Kvwatch(1) => "kvwatch, 1 worker".into(),
            Self::Kvwatch(workers) => format!("kvwatch, {workers} workers"),
        }
    }

    /// Starts the program on all events of a bucket, with this name for its consumer.
    pub(crate) fn start(self, programs: &Programs, server: &Server, bucket: &str, name: &str) -> Result<Process> {
        let rival = |work: Work| -> Result<Command> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([rival::COMMAND, &work.to_string(), &server.url(), bucket, name]).arg(&programs.watcher);
            Ok(command)
        };
        let mut command = match self {
            Self::Bare => rival(Work::None)?,
            Self::Confirmed => rival(Work::ConfirmedAcks)?,
            Self::Native => rival(Work::Native)?,
            Self::ByHand => rival(Work::Wasmtime)?,
            Self::Kvwatch(workers) => serve(&programs.kvwatch, &programs.watcher, server, bucket, name, workers),
        };
        Ok(Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn()?))
    }
}

/// The command `kvwatch serve`, as a user starts it. Its log contains warnings and errors.
fn serve(kvwatch: &Path, watcher: &Path, server: &Server, bucket: &str, name: &str, workers: u16) -> Command {
    let mut command = Command::new(kvwatch);
    command
        .arg("serve")
        .arg(watcher)
        .args(["--from", &format!("{}/{bucket}", server.url()), "--name", name, "--since", "all"])
        .args(["--workers", &workers.to_string(), "--log", "text"]);
    command
}
