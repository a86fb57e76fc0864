//! The `nats-server` and its events.

use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, Context, stream};
use bytes::Bytes;
use wasmtime::{Result, bail, format_err};

use crate::process::Process;

static PROGRAM: harness::Server = harness::Server::new("nats-server", "NATS_SERVER");

/// The maximum number of puts that wait for their confirmation at the same time.
const IN_FLIGHT: usize = 500;

/// A `nats-server` on 127.0.0.1, with its data in a temporary folder.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    port: u16,
    process: Process,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = harness::free_port(20_000..32_000);
        let process = spawn(&folder, port)?;
        let server = Self { folder, port, process };
        server.context().await?;
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The memory that the server has now, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.process.memory()
    }

    /// Stops the server gracefully and starts it again. Returns the time from the start until its bucket can be used.
    pub(crate) async fn restart(&mut self, bucket: &str) -> Result<Duration> {
        Command::new("kill").args(["-TERM", &self.process.0.id().to_string()]).status()?;
        self.process.0.wait()?;
        let begun = Instant::now();
        self.process = spawn(&self.folder, self.port)?;
        let context = self.context().await?;
        context.get_stream(format!("KV_{bucket}")).await?;
        Ok(begun.elapsed())
    }

    /// Connects to the server, and waits until it answers.
    pub(crate) async fn context(&self) -> Result<Context> {
        for _ in 0..3000 {
            if let Ok(client) = async_nats::connect(self.url()).await {
                let context = jetstream::new(client);
                if context.query_account().await.is_ok() {
                    return Ok(context);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("nats-server does not answer")
    }

    /// Connects to the server, and creates a bucket that is stored in files.
    pub(crate) async fn bucket(&self, name: &str) -> Result<Context> {
        let context = self.context().await?;
        let config = stream::Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            discard: stream::DiscardPolicy::New,
            ..stream::Config::default()
        };
        context.create_stream(config).await?;
        Ok(context)
    }
}

fn spawn(folder: &tempfile::TempDir, port: u16) -> Result<Process> {
    let program = PROGRAM.path().map_err(|reason| format_err!("{reason}"))?;
    let child = Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Process(child))
}

/// Puts an event for each of these numbers. Each event has its own key.
pub(crate) async fn fill(context: &Context, bucket: &str, payload: usize, numbers: Range<u64>) -> Result<()> {
    let value = Bytes::from(vec![b'x'; payload]);
    let mut acks = Vec::new();
    for number in numbers {
        acks.push(context.publish(format!("$KV.{bucket}.key.{number}"), value.clone()).await?);
        // Otherwise, all large values would be in memory at the same time.
        if acks.len() * payload.max(1) >= IN_FLIGHT * 10_000 || acks.len() == IN_FLIGHT {
            for ack in acks.drain(..) {
                ack.await?;
            }
        }
    }
    for ack in acks {
        ack.await?;
    }
    Ok(())
}
