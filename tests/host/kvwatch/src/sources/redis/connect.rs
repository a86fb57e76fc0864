//! Connects, and checks that the server announces changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub, PubSubSink, PubSubStream};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, RedisError, Value, cmd,
};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::address::Address;
use super::error::{Error, printable};
use super::notice::completed;
use super::window::Window;
use super::{Auth, Settings};
use crate::serve::Escaped;

/// The longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for an answer, which may contain the largest values of the database.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// No ordinary key begins with this. If a key does, the server only sends more than kvwatch needs.
const NO_KEY: &str = "\u{0}kvwatch: no key begins with this";

/// A connection: one for announcements, one for commands.
pub(super) struct Link {
    pub(super) commands: MultiplexedConnection,
    pub(super) messages: PubSubStream,
    pub(super) sink: PubSubSink,
    pub(super) window: Window,
    /// Notified when `FLUSHDB` or `FLUSHALL` has deleted all keys of a database.
    pub(super) flushed: Arc<Notify>,
    pub(super) server: Server,
}

/// The identity of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// It changes with each start of the server.
    pub(super) run: String,
    pub(super) uptime: Duration,
    pub(super) is_replica: bool,
    pub(super) version: String,
}

/// Connects to the database, subscribes to its announcements, and checks that the server sends them.
pub(super) async fn connect(settings: &Settings) -> Result<Link, Error> {
    let address = &settings.address;
    let flushed = Arc::new(Notify::new());
    let mut commands = {
        let flushed = Arc::clone(&flushed);
        let pushed = move |push: PushInfo| {
            // Keys that are no longer valid come as a list; after a flush there is none.
            if push.kind == PushKind::Invalidate && push.data == [Value::Nil] {
                flushed.notify_one();
            }
            Ok::<_, std::convert::Infallible>(())
        };
        command_connection(address, &settings.auth, pushed).await?
    };
    let failed = |what| move |error: RedisError| Error::of(address, what, &error);
    let server = Server::info(&mut commands).await.map_err(failed("INFO"))?;
    let name = format!("kvwatch-serve-{}", settings.name);
    cmd("CLIENT").arg("SETNAME").arg(name).exec_async(&mut commands).await.map_err(failed("CLIENT SETNAME"))?;
    check_notifications(settings, &mut commands).await?;
    // Redis announces nothing when all keys are deleted at once. But it notifies clients that keep copies of keys.
    let mut tracking = cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(NO_KEY);
    if let Err(error) = tracking.exec_async(&mut commands).await {
        tracing::warn!(cause = %printable(&error), "kvwatch will not notice FLUSHDB and FLUSHALL, because CLIENT TRACKING is refused");
    }
    let window = Window::default();
    let subscribed = timeout(CONNECT_TIMEOUT, subscribe(settings, &window)).await;
    let (sink, messages) = subscribed
        .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
        .map_err(failed("PSUBSCRIBE"))?;
    Ok(Link { commands, messages, sink, window, flushed, server })
}

async fn subscribe(settings: &Settings, window: &Window) -> Result<(PubSubSink, PubSubStream), RedisError> {
    let address = &settings.address;
    let stream = TcpStream::connect((address.host(), address.port())).await?;
    stream.set_nodelay(true)?;
    let login = login(address, &settings.auth, ProtocolVersion::RESP2);
    let (mut sink, messages) = PubSub::new(&login, window.over(stream)).await?.split();
    sink.psubscribe(format!("__keyevent@{}__:*", address.database())).await?;
    Ok((sink, messages))
}

/// A connection for commands. `pushed` gets the messages that the server sends without a request, and the end of the connection.
async fn command_connection(
    address: &Address,
    auth: &Auth,
    pushed: impl Fn(PushInfo) -> Result<(), std::convert::Infallible> + Send + Sync + 'static,
) -> Result<MultiplexedConnection, Error> {
    let failed = |error: RedisError| Error::of(address, "the connection", &error);
    let server = ConnectionAddr::Tcp(address.host().to_owned(), address.port());
    let info = server.into_connection_info().map_err(failed)?;
    let client = Client::open(info.set_redis_settings(login(address, auth, ProtocolVersion::RESP3))).map_err(failed)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(ANSWER_TIMEOUT))
        .set_push_sender(pushed);
    client.get_multiplexed_async_connection_with_config(&config).await.map_err(failed)
}

/// A connection for commands, and whether it is still there.
pub(crate) async fn tracked_connection(
    address: &Address,
    auth: &Auth,
) -> Result<(MultiplexedConnection, Arc<AtomicBool>), Error> {
    let alive = Arc::new(AtomicBool::new(true));
    let ends = Arc::clone(&alive);
    let pushed = move |push: PushInfo| {
        if push.kind == PushKind::Disconnection {
            ends.store(false, Ordering::Relaxed);
        }
        Ok(())
    };
    Ok((command_connection(address, auth, pushed).await?, alive))
}

fn login(address: &Address, auth: &Auth, protocol: ProtocolVersion) -> RedisConnectionInfo {
    let login = RedisConnectionInfo::default().set_db(address.database().into()).set_protocol(protocol);
    match auth {
        Auth::Nobody => login,
        Auth::Password(password) => login.set_password(password.reveal()),
        Auth::User { user, password } => login.set_username(user).set_password(password.reveal()),
    }
}

impl Server {
    pub(super) async fn info(commands: &mut MultiplexedConnection) -> Result<Self, RedisError> {
        let mut text = String::new();
        for section in ["server", "replication"] {
            let answer: String = cmd("INFO").arg(section).query_async(commands).await?;
            text.push_str(&answer);
        }
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let fields: HashMap<&str, &str> = text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let field = |name| fields.get(name).copied().unwrap_or_default();
        Self {
            run: field("run_id").to_owned(),
            uptime: Duration::from_secs(field("uptime_in_seconds").parse().unwrap_or_default()),
            is_replica: field("role") == "slave",
            version: Escaped(field("redis_version")).to_string(),
        }
    }
}

/// Checks that the server announces the changes that kvwatch needs. With `--configure`, sets this.
pub(super) async fn check_notifications(
    settings: &Settings,
    commands: &mut MultiplexedConnection,
) -> Result<(), Error> {
    const SETTING: &str = "notify-keyspace-events";
    let (server, host) = (|| settings.address.server(), || settings.address.host().to_owned());
    let port = settings.address.port();
    let asked = cmd("CONFIG").arg("GET").arg(SETTING).query_async::<HashMap<String, String>>(commands).await;
    let now = match asked {
        Ok(found) => found.get(SETTING).cloned().unwrap_or_default(),
        // Some providers do not allow the question.
        Err(error) if !error.is_unrecoverable_error() && !error.is_timeout() => {
            tracing::warn!(
                cause = %printable(&error),
                "kvwatch cannot see whether notify-keyspace-events has E$gxe, because CONFIG is refused; without it no event comes"
            );
            return Ok(());
        }
        Err(error) => return Err(Error::of(&settings.address, "CONFIG GET", &error)),
    };
    let Some(needed) = completed(&now) else { return Ok(()) };
    if !settings.configure {
        return Err(Error::NotificationsOff {
            server: server(),
            host: host(),
            port,
            now: Escaped(&now).to_string(),
            needed,
        });
    }
    let set = cmd("CONFIG").arg("SET").arg(SETTING).arg(&needed).exec_async(commands).await;
    if let Err(error) = set {
        return Err(if error.is_unrecoverable_error() || error.is_timeout() {
            Error::of(&settings.address, "CONFIG SET", &error)
        } else {
            Error::CannotConfigure { server: server(), host: host(), port, needed, cause: printable(&error) }
        });
    }
    tracing::warn!(before = %Escaped(&now), now = needed, "kvwatch has set notify-keyspace-events, because of --configure");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_about_itself_is_read_and_may_be_missing() {
        let text = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nuptime_in_seconds:12\r\nrole:slave\r\n";
        let server = Server::parse(text);
        let expected =
            Server { run: "abc".into(), uptime: Duration::from_secs(12), is_replica: true, version: "7.0.15".into() };
        assert_eq!(server, expected);
        assert!(!Server::parse("\r\n:::\r\nuptime_in_seconds:x").is_replica);
    }
}
