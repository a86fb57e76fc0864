//! A `nats-server` of a test: on 127.0.0.1, at a free port, in a temporary folder.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, Context, stream};

use crate::record::Failure;

/// The program, if there is one.
pub(crate) fn find() -> Option<PathBuf> {
    let path = std::env::var_os("NATS_SERVER").map_or_else(|| PathBuf::from("nats-server"), PathBuf::from);
    let version = Command::new(&path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success()).then_some(path)
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    child: Child,
}

impl Server {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = spawn(&folder, port)?;
        let server = Self { folder, port, child };
        server.context().await?;
        Ok(server)
    }

    /// Kills the server with -9 and starts it again, with the same data.
    pub(crate) async fn restart(&mut self, pause: Duration) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        tokio::time::sleep(pause).await;
        self.child = spawn(&self.folder, self.port)?;
        self.context().await?;
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A connection of the test itself, once `JetStream` answers.
    pub(crate) async fn context(&self) -> Result<Context, Failure> {
        for _ in 0..100 {
            if let Ok(client) = async_nats::connect(self.url()).await {
                let context = jetstream::new(client);
                if context.query_account().await.is_ok() {
                    return Ok(context);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("the server does not answer".into())
    }

    /// Makes a bucket that keeps so many values of a key.
    pub(crate) async fn bucket(&self, name: &str, history: i64) -> Result<Context, Failure> {
        let context = self.context().await?;
        context
            .create_stream(stream::Config {
                name: format!("KV_{name}"),
                subjects: vec![format!("$KV.{name}.>")],
                max_messages_per_subject: history,
                allow_rollup: true,
                deny_delete: true,
                allow_direct: true,
                discard: stream::DiscardPolicy::New,
                ..Default::default()
            })
            .await?;
        Ok(context)
    }
}

fn spawn(folder: &tempfile::TempDir, port: u16) -> Result<Child, Failure> {
    let program = find().ok_or("no nats-server")?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    Ok(Command::new(program)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
