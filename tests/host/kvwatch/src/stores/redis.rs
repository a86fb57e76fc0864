//! The databases of a Redis server as buckets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use inbound_keyvalue_host::Content;
use inbound_keyvalue_host::store::{Answer, Store, StoreError};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, cmd};
use tokio::sync::Mutex;

use crate::sources::redis::{Address, Auth, Error, printable, tracked_connection};

/// The largest value that Redis keeps, unless the server has another `proto-max-bulk-len`.
const MOST_BYTES: u64 = 512 * 1024 * 1024;
/// The number of keys that one step of a scan asks for.
const SCAN: usize = 1000;
/// The most bytes of all keys that one call of `get-keys` returns.
const MOST_KEY_BYTES: usize = 64 * 1024 * 1024;

/// Adds to a number. Lua's own numbers are exact below 2^53 only, so a number is added in two halves of ten digits.
const INCREMENT: &str = include_str!("increment.lua");

/// Sets a number if it is the expected one. Numbers are compared without their leading zeroes.
const COMPARE_AND_SWAP: &str = include_str!("compare_and_swap.lua");

/// The databases of a Redis server. The name of a bucket is the number of its database: `0`, `1` and so on.
///
/// | function | how | atomic |
/// |---|---|---|
/// | `get`, `exists` | `GET`, `EXISTS` | yes |
/// | `set` | `SET`, which removes an expiry | yes |
/// | `delete`, `delete-many` | `UNLINK` | yes |
/// | `increment`, `compare-and-swap` | a script, for numbers up to 2^64 - 1; it keeps an expiry | yes |
/// | `get-many` | `MGET` | yes |
/// | `set-many` | `MSET` | yes |
/// | `get-keys` | `SCAN` | no: a key that is set or deleted meanwhile may be in it or not |
///
/// A value is in the memory of kvwatch as a whole, because Redis takes a value in one piece. A value that is not a string is an
/// error. `get-keys` leaves out keys that are not UTF-8.
///
/// A call is never sent twice. If the connection is lost while the call waits, it fails with [`StoreError::Unavailable`], and the
/// store may have done it. The next call connects anew.
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
}

struct Shared {
    server: Address,
    auth: Auth,
    connections: Mutex<HashMap<u32, Connection>>,
}

#[derive(Clone)]
struct Connection {
    commands: MultiplexedConnection,
    alive: Arc<AtomicBool>,
}

impl RedisStore {
    /// The databases of this server. The first call connects, within its runtime. The number of the database in the address is
    /// ignored, because each call names its bucket.
    ///
    /// ```
    /// use kvwatch::sources::redis::Auth;
    /// use kvwatch::stores::RedisStore;
    /// use kvwatch::world::store::Store;
    ///
    /// let store = RedisStore::new("redis://localhost:6379".parse()?, Auth::default());
    /// // Each answer comes later: await it within a runtime of tokio.
    /// let answer = store.increment("0", "visits", 1);
    /// # drop(answer);
    /// # Ok::<(), kvwatch::sources::redis::Error>(())
    /// ```
    #[must_use]
    pub fn new(server: Address, auth: Auth) -> Self {
        Self { shared: Arc::new(Shared { server, auth, connections: Mutex::default() }) }
    }

    /// Answers later with the result of `work` on a connection of the bucket.
    fn with<T, W>(&self, bucket: &str, work: impl FnOnce(MultiplexedConnection) -> W + Send + 'static) -> Answer<T>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let Some(database) = database(bucket) else { return Answer::Now(Err(StoreError::NoBucket(bucket.to_owned()))) };
        let shared = Arc::clone(&self.shared);
        Answer::later(async move { work(shared.connection(database).await?).await })
    }

    /// Answers later with the answer of one command.
    fn execute<T: FromRedisValue + Send + 'static>(&self, bucket: &str, key: &str, command: Cmd) -> Answer<T> {
        let key = key.to_owned();
        self.with(bucket, |connection| query(connection, command, key))
    }
}

impl Shared {
    /// The connection of a database: the present one, or a new one.
    async fn connection(&self, database: u32) -> Result<MultiplexedConnection, StoreError> {
        // Other calls wait meanwhile. They need the same connection, or the server does not answer them either.
        let mut connections = self.connections.lock().await;
        if let Some(connection) = connections.get(&database)
            && connection.alive.load(Ordering::Relaxed)
        {
            return Ok(connection.commands.clone());
        }
        let address = self.server.with_database(database);
        let connected = tracked_connection(&address, &self.auth).await;
        let (commands, alive) = connected.map_err(|error| match error {
            Error::NoDatabase { .. } => StoreError::NoBucket(database.to_string()),
            Error::Refused { .. } => StoreError::Refused(error.to_string()),
            _ => StoreError::Unavailable(error.to_string()),
        })?;
        connections.insert(database, Connection { commands: commands.clone(), alive });
        Ok(commands)
    }
}

/// The number of the database of a bucket. Each database has only one name.
fn database(bucket: &str) -> Option<u32> {
    let number: u32 = bucket.parse().ok()?;
    (number.to_string() == bucket).then_some(number)
}

async fn query<T: FromRedisValue>(
    mut connection: MultiplexedConnection,
    command: Cmd,
    key: String,
) -> Result<T, StoreError> {
    command.query_async(&mut connection).await.map_err(|error| failed(&error, key))
}

/// Turns an error of the client into an error for the watcher.
fn failed(error: &RedisError, key: String) -> StoreError {
    let text = printable(error);
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            StoreError::Refused(format!("{text}; this server is a replica"))
        }
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain) => {
            StoreError::Unavailable(text)
        }
        _ if error.is_unrecoverable_error() || error.is_timeout() => StoreError::Unavailable(text),
        _ => match error.code() {
            Some("OOM") => StoreError::Full(format!("{text}; raise maxmemory of the server, or let it evict keys")),
            Some("NOTANUMBER") => StoreError::NotANumber(key),
            Some("OVERFLOW") => StoreError::Overflow(key),
            Some("NOKEY") => StoreError::NoKey(key),
            _ => StoreError::Refused(text),
        },
    }
}

/// The bytes of a value. Fails if there are too many: Redis would close the connection.
fn bytes(content: &Content) -> Result<Vec<u8>, StoreError> {
    if content.len() > MOST_BYTES {
        let (len, most) = (content.len(), MOST_BYTES);
        return Err(StoreError::Full(format!("the value has {len} bytes, and a value of Redis has {most} at most")));
    }
    content.read(0, content.len()).map_err(|error| StoreError::Refused(format!("the value cannot be read: {error}")))
}

impl Store for RedisStore {
    fn open(&self, bucket: &str) -> Answer<()> {
        self.with(bucket, |_| std::future::ready(Ok(())))
    }

    fn get(&self, bucket: &str, key: &str) -> Answer<Content> {
        let (command, key) = (with_args("GET", [key]), key.to_owned());
        self.with(bucket, |connection| async move {
            let value: Option<Vec<u8>> = query(connection, command, key.clone()).await?;
            value.map(Content::from).ok_or(StoreError::NoKey(key))
        })
    }

    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()> {
        match bytes(&content) {
            Ok(bytes) => self.execute(bucket, key, with_args("SET", [key.as_bytes(), &bytes])),
            Err(error) => Answer::Now(Err(error)),
        }
    }

    fn delete(&self, bucket: &str, key: &str) -> Answer<()> {
        let (command, key) = (with_args("UNLINK", [key]), key.to_owned());
        self.with(bucket, |connection| async move {
            let deleted: u64 = query(connection, command, key.clone()).await?;
            if deleted == 0 { Err(StoreError::NoKey(key)) } else { Ok(()) }
        })
    }

    fn exists(&self, bucket: &str, key: &str) -> Answer<bool> {
        self.execute(bucket, key, with_args("EXISTS", [key]))
    }

    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64> {
        // The sum is text, because an integer of Redis has only 63 bits.
        self.execute(bucket, key, with_args("EVAL", [INCREMENT, "1", key, &delta.to_string()]))
    }

    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool> {
        let args = [COMPARE_AND_SWAP, "1", key, &old.to_string(), &new.to_string()];
        self.execute(bucket, key, with_args("EVAL", args))
    }

    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>> {
        if keys.is_empty() {
            return Answer::Now(Ok(Vec::new()));
        }
        let command = with_args("MGET", keys);
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        self.with(bucket, |connection| async move {
            let values: Vec<Option<Vec<u8>>> = query(connection, command, String::new()).await?;
            let pairs = values.into_iter().zip(keys);
            pairs.map(|(value, key)| value.map(Content::from).ok_or(StoreError::NoKey(key))).collect()
        })
    }

    fn keys(&self, bucket: &str) -> Answer<Vec<String>> {
        self.with(bucket, |mut connection| async move {
            let (mut cursor, mut size) = (0_u64, 0);
            // A scan may answer with a key twice.
            let mut found = std::collections::BTreeSet::new();
            loop {
                let mut scan = cmd("SCAN");
                scan.arg(cursor).arg("COUNT").arg(SCAN);
                let answer = scan.query_async(&mut connection).await;
                let (next, keys): (u64, Vec<Vec<u8>>) = answer.map_err(|error| failed(&error, String::new()))?;
                for key in keys.into_iter().filter_map(|key| String::from_utf8(key).ok()) {
                    size += key.len();
                    found.insert(key);
                }
                if size > MOST_KEY_BYTES {
                    return Err(StoreError::Full(format!(
                        "the names of all keys have more than {MOST_KEY_BYTES} bytes: ask for keys by their names"
                    )));
                }
                if next == 0 {
                    return Ok(found.into_iter().collect());
                }
                cursor = next;
            }
        })
    }

    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()> {
        if pairs.is_empty() {
            return Answer::Now(Ok(()));
        }
        let mut command = cmd("MSET");
        for (key, content) in &pairs {
            match bytes(content) {
                Ok(bytes) => command.arg(key).arg(bytes),
                Err(error) => return Answer::Now(Err(error)),
            };
        }
        self.execute(bucket, "", command)
    }

    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()> {
        if keys.is_empty() {
            return Answer::Now(Ok(()));
        }
        let command = with_args("UNLINK", keys);
        self.with(bucket, |connection| async move {
            query::<u64>(connection, command, String::new()).await?;
            Ok(())
        })
    }
}

fn with_args<A: AsRef<[u8]>>(name: &str, args: impl IntoIterator<Item = A>) -> Cmd {
    let mut command = cmd(name);
    for arg in args {
        command.arg(arg.as_ref());
    }
    command
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("server", &self.shared.server.server()).finish_non_exhaustive()
    }
}
