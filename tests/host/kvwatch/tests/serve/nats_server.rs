//! A `nats-server` of a test: on 127.0.0.1, at a free port, in a temporary folder. Also a cluster of three.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, Context, stream};

use crate::record::Failure;

/// The program.
pub(crate) static PROGRAM: harness::Server = harness::Server::new("nats-server", "NATS_SERVER");

/// The last release that cannot pin one of several clients.
pub(crate) static OLD_PROGRAM: harness::Server = harness::Server::new("nats-server-2.10", "NATS_SERVER_OLD");

pub(crate) fn free_port() -> u16 {
    harness::free_port(20_000..32_000)
}

/// A server. It is killed when this is dropped.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    arguments: Vec<String>,
    /// The credentials of the test for the server.
    connect: ConnectOptions,
    program: &'static harness::Server,
    child: Child,
}

impl Server {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let server = Self::spawn(Vec::new())?;
        server.context().await?;
        Ok(server)
    }

    fn spawn(arguments: Vec<String>) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let port = free_port();
        let child = spawn(&PROGRAM, &folder, port, &arguments)?;
        Ok(Self { folder, port, arguments, connect: ConnectOptions::new(), program: &PROGRAM, child })
    }

    /// A server of the last release that is too old for standbys.
    pub(crate) async fn start_old() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let port = free_port();
        let child = spawn(&OLD_PROGRAM, &folder, port, &[])?;
        let connect = ConnectOptions::new();
        let server = Self { folder, port, arguments: Vec::new(), connect, program: &OLD_PROGRAM, child };
        server.context().await?;
        Ok(server)
    }

    /// A server with the text of a configuration file. The test itself connects with `connect`.
    pub(crate) async fn configured(config: &str, connect: ConnectOptions) -> Result<Self, Failure> {
        let mut server = Self::unasked(config).await?;
        server.connect = connect;
        server.context().await?;
        Ok(server)
    }

    /// A server with the text of a configuration file, to which the test itself does not connect.
    pub(crate) async fn unasked(config: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("server.conf");
        std::fs::write(&path, config)?;
        let port = free_port();
        let arguments = vec!["-c".to_owned(), path.display().to_string()];
        let mut child = spawn(&PROGRAM, &folder, port, &arguments)?;
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(folder.path().join("log"))?;
                return Err(format!("the server does not take this configuration:\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { folder, port, arguments, connect: ConnectOptions::new(), program: &PROGRAM, child })
    }

    /// Starts the server again, with the same data and another configuration.
    pub(crate) async fn configure(&mut self, config: &str, connect: ConnectOptions) -> Result<(), Failure> {
        self.kill()?;
        std::fs::write(self.folder.path().join("server.conf"), config)?;
        self.connect = connect;
        self.start_again().await
    }

    /// Kills the server with -9.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts the server again, with the same data.
    pub(crate) async fn start_again(&mut self) -> Result<(), Failure> {
        self.child = spawn(self.program, &self.folder, self.port, &self.arguments)?;
        self.context().await?;
        Ok(())
    }

    /// Kills the server with -9 and starts it again, with the same data.
    pub(crate) async fn restart(&mut self, pause: Duration) -> Result<(), Failure> {
        self.kill()?;
        tokio::time::sleep(pause).await;
        self.start_again().await
    }

    /// The server's record of a consumer as it is now: its deliveries and acks.
    pub(crate) fn consumer_record(&self, bucket: &str, consumer: &str) -> Result<Saved, Failure> {
        let path = format!("{DATA}/$G/streams/KV_{bucket}/obs/{consumer}/o.dat");
        let path = self.folder.path().join(path);
        Ok(Saved { content: std::fs::read(&path)?, path })
    }

    /// A copy of all data of a server that is stopped.
    pub(crate) fn backup(&self) -> Result<tempfile::TempDir, Failure> {
        let backup = tempfile::tempdir()?;
        harness::copy_folder(&self.folder.path().join(DATA), &backup.path().join(DATA))?;
        Ok(backup)
    }

    /// Replaces all data of a server that is stopped.
    pub(crate) fn restore(&self, backup: &tempfile::TempDir) -> Result<(), Failure> {
        let data = self.folder.path().join(DATA);
        std::fs::remove_dir_all(&data)?;
        Ok(harness::copy_folder(&backup.path().join(DATA), &data)?)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A connection of the test itself, once `JetStream` answers.
    pub(crate) async fn context(&self) -> Result<Context, Failure> {
        for _ in 0..300 {
            if let Ok(client) = self.connect.clone().connect(self.url()).await {
                let context = jetstream::new(client);
                if context.query_account().await.is_ok() {
                    return Ok(context);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        Err(format!("the server does not answer:\n{log}").into())
    }

    /// Makes a bucket that keeps this many values of a key.
    pub(crate) async fn bucket(&self, name: &str, history: i64) -> Result<Context, Failure> {
        let context = self.context().await?;
        context.create_stream(bucket(name, history)).await?;
        Ok(context)
    }
}

/// The stream of a bucket, as the tool `nats` makes it.
pub(crate) fn bucket(name: &str, history: i64) -> stream::Config {
    stream::Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: history,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        discard: stream::DiscardPolicy::New,
        ..Default::default()
    }
}

/// The folder of the server's data.
const DATA: &str = "jetstream";

/// A file of the server as it was.
pub(crate) struct Saved {
    path: PathBuf,
    content: Vec<u8>,
}

impl Saved {
    pub(crate) fn restore(&self) -> Result<(), Failure> {
        Ok(std::fs::write(&self.path, &self.content)?)
    }
}

fn spawn(
    program: &harness::Server,
    folder: &tempfile::TempDir,
    port: u16,
    arguments: &[String],
) -> Result<Child, Failure> {
    let log = std::fs::File::create(folder.path().join("log"))?;
    Ok(Command::new(program.path()?)
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()?)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Three servers, which hold each bucket three times.
pub(crate) struct Cluster(Vec<Server>);

impl Cluster {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let routes: Vec<String> = (0..3).map(|_| format!("nats://127.0.0.1:{}", free_port())).collect();
        let server = |(number, route): (usize, &String)| {
            let name = format!("n{number}");
            let arguments = ["-n", &name, "-cluster_name", "c", "-cluster", route, "-routes", &routes.join(",")];
            Server::spawn(arguments.map(str::to_owned).to_vec())
        };
        let servers = routes.iter().enumerate().map(server).collect::<Result<Vec<_>, _>>()?;
        for server in &servers {
            server.context().await?;
        }
        Ok(Self(servers))
    }

    /// The address of all servers.
    pub(crate) fn url(&self) -> String {
        let ports: Vec<String> = self.0.iter().map(|it| format!("127.0.0.1:{}", it.port)).collect();
        format!("nats://{}", ports.join(","))
    }

    /// Makes a bucket with three replicas. The connection knows all servers.
    pub(crate) async fn bucket(&self, name: &str) -> Result<Context, Failure> {
        let addresses = self.0.iter().map(|it| it.url().parse()).collect::<Result<Vec<async_nats::ServerAddr>, _>>()?;
        let context = jetstream::new(async_nats::connect(addresses).await?);
        let config = stream::Config { num_replicas: 3, ..bucket(name, 1000) };
        // The servers need some time until they have chosen one that places buckets.
        for _ in 0..100 {
            if context.create_stream(config.clone()).await.is_ok() {
                return Ok(context);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err("the cluster makes no bucket".into())
    }

    /// Kills the server that leads the bucket, and returns it.
    pub(crate) async fn kill_leader(&mut self, context: &Context, bucket: &str) -> Result<&mut Server, Failure> {
        for _ in 0..150 {
            let leader = match context.get_stream(format!("KV_{bucket}")).await {
                Ok(stream) => stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone()),
                Err(_) => None,
            };
            if let Some(number) = leader.and_then(|name| name.strip_prefix('n')?.parse::<usize>().ok()) {
                self.0[number].kill()?;
                return Ok(&mut self.0[number]);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err("the bucket has no leader".into())
    }
}
