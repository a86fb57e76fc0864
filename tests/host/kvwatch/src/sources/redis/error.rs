use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::address::Address;
use crate::serve::Escaped;

/// The reason why events cannot come from a database. The messages are for the person who started `kvwatch serve`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not an address.
    #[error("`{address}` is not the address of a database: {problem}; an address is like redis://localhost:6379/0")]
    Address {
        /// The address, without secrets.
        address: String,
        /// The problem.
        problem: String,
    },
    /// A setting has a value that cannot work.
    #[error("{setting} cannot be `{value}`: {problem}")]
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// Its value, escaped.
        value: String,
        /// The problem, and what to do.
        problem: String,
    },
    /// No server answers. This may change: with `--wait` it is tried again.
    #[error(
        "cannot connect to {server}: {cause}; check that the server runs and the address is right, or wait for it with --wait"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// The cause.
        cause: String,
    },
    /// The server refuses the user.
    #[error(
        "{server} refused the connection: {cause}; check --user, and the password in --password-file or KVWATCH_PASSWORD"
    )]
    Refused {
        /// The server.
        server: String,
        /// The cause.
        cause: String,
    },
    /// The server has no such database.
    #[error("{server} has no database {database}; `CONFIG GET databases` says how many it has")]
    NoDatabase {
        /// The server.
        server: String,
        /// The number of the database.
        database: u32,
    },
    /// The server does not announce changes, so no event would ever come.
    #[error(
        "{server} does not announce the changes of keys: notify-keyspace-events is \"{now}\", and kvwatch needs \"{needed}\"; \
         run `redis-cli -h {host} -p {port} CONFIG SET notify-keyspace-events '{needed}'` (and put it into redis.conf, so that \
         it outlives a restart), or let kvwatch set it with --configure"
    )]
    NotificationsOff {
        /// The server.
        server: String,
        /// The name or the IP address of the server.
        host: String,
        /// The port of the server.
        port: u16,
        /// The setting now.
        now: String,
        /// The setting with the present letters and the missing ones.
        needed: String,
    },
    /// `--configure` could not change the setting.
    #[error(
        "{server} did not let --configure set notify-keyspace-events to \"{needed}\": {cause}; let an administrator run \
         `redis-cli -h {host} -p {port} CONFIG SET notify-keyspace-events '{needed}'`"
    )]
    CannotConfigure {
        /// The server.
        server: String,
        /// The name or the IP address of the server.
        host: String,
        /// The port of the server.
        port: u16,
        /// The setting that is needed.
        needed: String,
        /// The message of the server.
        cause: String,
    },
    /// A request to the server failed.
    #[error("{server} refused {what}: {cause}")]
    Request {
        /// The server.
        server: String,
        /// The request.
        what: &'static str,
        /// The message of the server.
        cause: String,
    },
}

impl Error {
    /// Whether the same request may succeed later without a change by the user. `--wait` tries it again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the store is missing: its server or its database. `kvwatch serve` has an exit code for this.
    #[must_use]
    pub fn is_missing_store(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoDatabase { .. })
    }

    /// Turns an error of the client into an error for this address.
    pub(super) fn of(address: &Address, what: &'static str, error: &RedisError) -> Self {
        let (server, cause) = (address.server(), printable(error));
        let is_unknown_database = error.detail().is_some_and(|detail| detail.contains("DB index is out of range"));
        match error.kind() {
            _ if is_unknown_database => Self::NoDatabase { server, database: address.database() },
            ErrorKind::AuthenticationFailed => Self::Refused { server, cause },
            _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => Self::Refused { server, cause },
            ErrorKind::Io | ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown) => {
                Self::Unreachable { server, cause }
            }
            _ if error.is_unrecoverable_error() || error.is_timeout() => Self::Unreachable { server, cause },
            _ => Self::Request { server, what, cause },
        }
    }
}

/// An error of the client, safe to print. It may contain text of the server.
pub(crate) fn printable(error: &RedisError) -> String {
    Escaped(&error.to_string()).to_string()
}
