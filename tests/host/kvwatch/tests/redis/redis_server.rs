//! A `redis-server` of a test: on 127.0.0.1, at a free port, in a temporary folder.

use std::process::{Child, Command};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue};

use crate::record::Failure;

/// The program.
pub(crate) static PROGRAM: harness::Server = harness::Server::new("redis-server", "REDIS_SERVER");

pub(crate) fn free_port() -> u16 {
    harness::free_port(10_000..19_000)
}

/// The setting that kvwatch needs.
pub(crate) const ANNOUNCING: [&str; 2] = ["--notify-keyspace-events", "E$gxe"];

/// A server. It is killed when this is dropped.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Child,
}

impl Server {
    /// A server that announces changes.
    pub(crate) async fn start() -> Result<Self, Failure> {
        Self::start_with(&ANNOUNCING).await
    }

    pub(crate) async fn start_with(arguments: &[&str]) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(&folder, port, &arguments)?;
        let server = Self { folder, port, arguments, child };
        server.wait().await?;
        Ok(server)
    }

    /// Kills the server with -9.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills the server with -9 and starts it again, with the data that it had written.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        self.kill()?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.child = spawn(&self.folder, self.port, &self.arguments)?;
        self.wait().await
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A connection of the test itself.
    pub(crate) async fn connection(&self) -> Result<MultiplexedConnection, Failure> {
        // The disk of a busy machine may be slow.
        let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_mins(1)));
        Ok(Client::open(self.url())?.get_multiplexed_async_connection_with_config(&patient).await?)
    }

    /// Waits until the server answers, also with a refusal.
    async fn wait(&self) -> Result<(), Failure> {
        for _ in 0..300 {
            if let Ok(mut connection) = self.connection().await {
                match redis::cmd("PING").query_async::<String>(&mut connection).await {
                    Err(error) if error.code() == Some("LOADING") => {}
                    _ => return Ok(()),
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the server does not answer".into())
    }
}

/// A command, with its arguments after white space.
pub(crate) async fn run<T: FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &str,
) -> Result<T, Failure> {
    let mut words = command.split_whitespace();
    let mut built = redis::cmd(words.next().ok_or("no command")?);
    for word in words {
        built.arg(word);
    }
    Ok(built.query_async(connection).await?)
}

fn spawn(folder: &tempfile::TempDir, port: u16, arguments: &[String]) -> Result<Child, Failure> {
    let program = PROGRAM.path()?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    // Every change is in the file at once, so that a server that was killed has it after its restart.
    Ok(Command::new(program)
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
        .arg(folder.path())
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(arguments)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
