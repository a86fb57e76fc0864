use super::consumer::Difference;
use crate::serve::Cause;
use crate::sources::secret::BadSecret;

/// The reason why events cannot come from a bucket. The messages are for the person who started `kvwatch serve`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not an address.
    #[error("`{address}` is not the address of a bucket: {problem}; an address is like nats://localhost:4222/orders")]
    Address {
        /// The address, without secrets.
        address: String,
        /// The problem.
        problem: String,
    },
    /// A setting has a value that the server would refuse.
    #[error("{setting} cannot be `{value}`: {problem}")]
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// Its value, escaped.
        value: String,
        /// The problem, and what to do.
        problem: String,
    },
    /// A secret cannot be read.
    #[error(transparent)]
    Secret(#[from] BadSecret),
    /// No server answers. This may change: with `--wait` it is tried again.
    #[error(
        "cannot connect to {servers}: {cause}; check that the server runs and the address is right, or wait for it with --wait"
    )]
    Unreachable {
        /// The servers.
        servers: String,
        /// The cause.
        cause: String,
    },
    /// The server does not accept the credentials of kvwatch.
    #[error("{servers} refused {login}: {cause}; {remedy}")]
    Refused {
        /// The servers.
        servers: String,
        /// The credentials, with their flag and without a secret.
        login: String,
        /// The cause.
        cause: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// The connection cannot be encrypted, or one side does not trust the other.
    #[error("no TLS connection to {servers}: {cause}; {remedy}")]
    Tls {
        /// The servers.
        servers: String,
        /// The cause.
        cause: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// A file of the TLS settings cannot be used.
    #[error("cannot use {flag} {path}: {cause}; name a file with {content} in PEM format")]
    File {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        path: String,
        /// The problem.
        cause: String,
        /// The content that the file must have.
        content: &'static str,
    },
    /// The server has no `JetStream`. This may change: a cluster that starts has none for a while.
    #[error(
        "{servers} has no JetStream, or does not offer it to this user: start nats-server with -js, or wait for it with --wait"
    )]
    NoJetStream {
        /// The servers.
        servers: String,
    },
    /// The bucket does not exist. This may change.
    #[error(
        "{servers} has no bucket `{bucket}`: create it (`nats kv add {bucket}`), correct its name, or wait for it with --wait"
    )]
    NoBucket {
        /// The servers.
        servers: String,
        /// The bucket.
        bucket: String,
    },
    /// The server cannot pin one process of several.
    #[error(
        "nats-server {version} cannot choose one of several processes to work, which keeps the order of a key across \
         processes: upgrade it to 2.11 or later, or use --shared, where all processes work and the order of a key is kept \
         within a process only"
    )]
    OldServer {
        /// The server's version.
        version: String,
    },
    /// The server cannot remember how the consumer was made.
    #[error(
        "nats-server {version} is too old: it cannot remember where a watcher started (--since), so upgrade it to 2.11 or later"
    )]
    TooOldServer {
        /// The server's version.
        version: String,
    },
    /// There is a consumer of this name with other settings.
    #[error(
        "the consumer `{name}` of bucket `{bucket}` exists with other settings: {}; use the consumer's settings, choose \
         another --name, or remove the consumer (`nats consumer rm KV_{bucket} {name}`; it then starts anew, as --since says)",
        list(differences)
    )]
    Differs {
        /// The bucket.
        bucket: String,
        /// The consumer.
        name: String,
        /// The settings that differ.
        differences: Vec<Difference>,
    },
    /// No stream stores the subject of dead letters.
    #[error(
        "cannot write to --dead-letters nats:{subject}: no stream has this subject; create one (`nats stream add`), or name a \
         file"
    )]
    NoStream {
        /// The subject.
        subject: String,
    },
    /// A request to the server failed.
    #[error("cannot {what}; check that this user may use JetStream on the bucket, and the log of the server")]
    Request {
        /// The request.
        what: String,
        /// The cause.
        source: Cause,
    },
}

impl Error {
    /// Whether the same request may succeed later without a change by the user. `--wait` tries it again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::NoJetStream { .. } | Self::NoBucket { .. } | Self::Request { .. }
        )
    }

    /// Whether an option is wrong. Most of these errors are found before any request to a server.
    #[must_use]
    pub fn is_wrong_option(&self) -> bool {
        matches!(
            self,
            Self::Address { .. } | Self::Setting { .. } | Self::Secret(_) | Self::File { .. } | Self::NoStream { .. }
        )
    }

    /// Whether the store is missing: its server, its `JetStream` or its bucket. `kvwatch serve` has an exit code for this.
    #[must_use]
    pub fn is_missing_store(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoJetStream { .. } | Self::NoBucket { .. })
    }
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
