//! The options of one served watcher. Each is a flag and a field of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use kvwatch::sources::Secret;
use kvwatch::sources::nats::{Auth, Since, Tls};
use kvwatch::stores::BucketGrant;
use kvwatch::{ByteSize, Grants, serve, sources::nats};
use serde::{Deserialize, Serialize};

use super::redis::{self, SourceSettings, StoreAddress};
use super::text::{Letters, Text};
use crate::cli::{Result, args};

macro_rules! options {
    ($($(#[$attribute:meta])* $name:ident: $kind:ty,)*) => {
        /// The options of one watcher. `None` is the default.
        #[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct Options {
            $($(#[$attribute])* pub(crate) $name: Option<$kind>,)*
        }

        impl Options {
            /// These options. An option that is not set comes from the others.
            pub(crate) fn or(self, other: Self) -> Self {
                Self { $($name: self.$name.or(other.$name),)* }
            }

            /// Whether no option is set.
            pub(crate) fn is_empty(&self) -> bool {
                $(self.$name.is_none())&&*
            }
        }
    };
}

options! {
    /// A component, or the folder of a cargo package that is built first
    #[arg(value_hint = ValueHint::AnyPath)]
    watcher: PathBuf,

    /// The store: `nats://HOST[:PORT][,HOST…]/BUCKET` (`tls://…` if it must be encrypted), or `redis://HOST[:PORT][/DB]`
    ///
    /// The events of a NATS bucket are delivered at least once. The events of a Redis database are delivered at most once:
    /// changes while kvwatch is not connected are lost, and a watcher's own writes come back to it.
    #[arg(long, value_name = "URL", value_parser = redis::flag)]
    from: Text<StoreAddress>,

    /// The name of the watcher. NATS remembers the progress under this name, and processes with one name share the work
    #[arg(long)]
    name: String,

    /// The start of a new name: the `last` value of each key, `all` of the history, or `now` [default: last]
    #[arg(long, value_name = "last|all|now")]
    since: Text<Since>,

    /// Deliver all keys of a Redis database at the start and after each lost connection
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    replay: bool,

    /// Let kvwatch set notify-keyspace-events of a Redis server that does not announce changes
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    configure: bool,

    /// Watch only these keys, for example `users.>`. The server filters them
    #[arg(long, value_name = "FILTER")]
    keys: String,

    /// Let all processes of this name work. The order of a key then holds only within a process
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    shared: bool,

    /// Wait for a server or a bucket that is missing at the start. Without this, kvwatch exits with 4
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    wait: bool,

    /// Handle this many events at the same time, each with its own instance [default: 1]
    #[arg(long, value_name = "NUMBER", value_parser = args::workers)]
    workers: u16,

    /// Make a fresh instance for every event
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    fresh: bool,

    /// Limit the time of an event, for example 500ms or 2s [default: 60s]
    #[arg(long, value_name = "TIME")]
    time: Text<Duration>,

    /// Limit the linear memory of an instance, for example 64MiB [default: 128MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Text<ByteSize>,

    /// Limit the fuel of an event. An instruction consumes about one unit
    #[arg(long, value_name = "NUMBER", value_parser = args::fuel)]
    fuel: u64,

    /// Set an environment variable of the watcher. Without a value, it gets the value that kvwatch has
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,

    /// Let the watcher read and write a folder. With `:ro`, it can only read it
    #[arg(long, value_name = "HOST::GUEST[:ro]")]
    dir: Vec<String>,

    /// Let the watcher send HTTP requests to a host, on one port or on all. `*` stands for every host
    #[arg(long, value_name = "NAME[:PORT]")]
    allow_host: Vec<String>,

    /// Let the watcher use another bucket of the store. With `:ro`, it can only read it. The watched bucket is always allowed
    #[arg(long, value_name = "NAME[:ro]")]
    allow_bucket: Vec<Text<BucketGrant>>,

    /// Let get-many and set-many work one key after another, if the store cannot do them in one step
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    allow_partial_batches: bool,

    /// Give the watcher its own writes too, up to DEPTH in a row. The next one becomes a dead letter [default: none for
    /// NATS, 16 for Redis]
    #[arg(long, value_name = "DEPTH", value_parser = args::count)]
    feed: u32,

    /// Replace an interface that kvwatch does not offer with functions that trap
    #[arg(long, value_name = "INTERFACE")]
    stub: Vec<String>,

    /// Load the watcher again when its file is replaced. If this fails, the old watcher continues
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    reload: bool,

    /// Compile the watcher at each start, and do not use the folder with compiled watchers
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    no_cache: bool,

    /// Try a trapped event up to this many times, with growing waits, before it becomes a dead letter [default: 5]
    #[arg(long, value_name = "NUMBER", value_parser = args::count)]
    attempts: u32,

    /// Write events without attempts left to this file, or to nats:SUBJECT. Without this, they are logged in full
    #[arg(long, value_name = "FILE|nats:SUBJECT")]
    dead_letters: Text<Letters>,

    /// Let the server give an event to another process after this time without a sign of life [default: 5s]
    #[arg(long, value_name = "TIME")]
    ack_wait: Text<Duration>,

    /// Take at most this many unacknowledged events from the server. Times the largest value, this bounds the memory [default:
    /// 500]
    #[arg(long, value_name = "NUMBER", value_parser = args::count)]
    max_ack_pending: u32,

    /// Let running handlers continue for up to this time after SIGTERM [default: 10s]
    #[arg(long, value_name = "TIME")]
    grace: Text<Duration>,

    /// A credentials file in the format of nsc
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    credentials: PathBuf,

    /// The user. The password is in --password-file or in `KVWATCH_PASSWORD`
    #[arg(long)]
    user: String,

    /// A file with the password of --user
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    password_file: PathBuf,

    /// A file with a token. Without it, a token can be in `KVWATCH_TOKEN`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: PathBuf,

    /// A file with the seed of an nkey. Without it, a seed can be in `KVWATCH_NKEY`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    nkey_file: PathBuf,

    /// Certificates of authorities to trust instead of those of the system (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_ca: PathBuf,

    /// The certificate of this client (PEM), with --tls-key
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_cert: PathBuf,

    /// The key of this client's certificate (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    tls_key: PathBuf,

    /// Begin with TLS at once. The server must be configured for it
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, value_name = "BOOL")]
    tls_first: bool,
}

/// The variable with the password.
pub(crate) const PASSWORD: &str = "KVWATCH_PASSWORD";
/// A handler without an end would keep its key for ever.
const TIME: Duration = Duration::from_mins(1);
const MEMORY: ByteSize = ByteSize(128 << 20);
/// The limit of the depth of a watcher's own writes. On Redis they come back to it in any case.
pub(crate) const FEED_OF_REDIS: u32 = 16;

impl Options {
    /// These options with all defaults.
    pub(crate) fn complete(self) -> Self {
        let delivery = serve::Settings::default();
        let defaults = Self {
            since: self.with_nats(Text(Since::default())),
            shared: self.with_nats(false),
            replay: self.with_redis(false),
            configure: self.with_redis(false),
            wait: Some(false),
            workers: Some(1),
            fresh: Some(false),
            time: Some(Text(TIME)),
            memory: Some(Text(MEMORY)),
            feed: self.with_redis(FEED_OF_REDIS),
            allow_partial_batches: self.with_nats(false),
            reload: Some(false),
            no_cache: Some(false),
            attempts: Some(delivery.retry.attempts),
            ack_wait: self.with_nats(Text(Duration::from_secs(5))),
            tls_first: self.with_nats(false),
            max_ack_pending: Some(500),
            grace: Some(Text(delivery.grace)),
            ..Self::default()
        };
        self.or(defaults)
    }

    /// A default that has a meaning with NATS only.
    fn with_nats<T>(&self, default: T) -> Option<T> {
        (!self.is_redis()).then_some(default)
    }

    /// A default that has a meaning with Redis only.
    fn with_redis<T>(&self, default: T) -> Option<T> {
        self.is_redis().then_some(default)
    }

    /// The settings of the source. The options must be complete.
    pub(crate) fn source(&self) -> Result<SourceSettings> {
        let Text(address) = self
            .from
            .clone()
            .ok_or("no store: say which one with --from nats://HOST:PORT/BUCKET or --from redis://HOST:PORT/DB")?;
        let name = self.name.clone().ok_or(if self.is_redis() {
            "no name: give one with --name; Redis shows the watcher under this name in CLIENT LIST"
        } else {
            "no name: give one with --name; the store remembers the progress of the watcher under this name"
        })?;
        match address {
            StoreAddress::Nats(address) => self.nats(address, name).map(SourceSettings::Nats),
            StoreAddress::Redis(address) => self.redis(address, name).map(SourceSettings::Redis),
            StoreAddress::WithSecret(problem) => Err(format!("--from: {problem}").into()),
        }
    }

    fn nats(&self, address: nats::Address, name: String) -> Result<nats::Settings> {
        self.check_without_redis()?;
        let mut settings = nats::Settings::new(address, name);
        settings.auth = self.auth()?;
        settings.tls = Tls {
            required: false,
            authorities: self.tls_ca.clone(),
            client: match (&self.tls_cert, &self.tls_key) {
                (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
                (None, None) => None,
                _ => return Err("--tls-cert and --tls-key belong together: give both".into()),
            },
            first: self.tls_first.unwrap_or_default(),
        };
        settings.keys.clone_from(&self.keys);
        settings.shared = self.shared.unwrap_or_default();
        settings.wait = self.wait.unwrap_or_default();
        settings.feed = self.feed.is_some();
        if let Some(Text(since)) = self.since {
            settings.since = since;
        }
        if let Some(Text(wait)) = self.ack_wait {
            settings.ack_wait = wait;
        }
        if let Some(most) = self.max_ack_pending {
            settings.max_ack_pending = most;
        }
        settings.check()?;
        Ok(settings)
    }

    /// The settings of the delivery.
    pub(crate) fn delivery(&self) -> serve::Settings {
        let mut settings = serve::Settings::with_workers(self.workers.map_or(1, usize::from));
        if let Some(attempts) = self.attempts {
            settings.retry.attempts = attempts;
        }
        if let Some(Text(grace)) = self.grace {
            settings.grace = grace;
        }
        settings.deepest = self.feed;
        settings
    }

    /// The buckets that the watcher may use besides the watched one.
    pub(crate) fn buckets(&self) -> Vec<BucketGrant> {
        self.allow_bucket.iter().flatten().map(|Text(grant)| grant.clone()).collect()
    }

    /// The grants of the watcher beyond the world.
    pub(crate) fn grants(&self) -> Result<Grants> {
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let grants = args::grants(&list(&self.env), &list(&self.dir), &list(&self.stub))?;
        args::allow_hosts(grants, &list(&self.allow_host))
    }

    /// The password, from --password-file or from the environment.
    pub(crate) fn password(&self) -> Result<Secret> {
        Ok(match &self.password_file {
            Some(path) => Secret::from_file("password", path)?,
            None => Secret::from_env("password", PASSWORD)?,
        })
    }

    fn auth(&self) -> Result<Auth> {
        let chosen = [
            ("--credentials", self.credentials.is_some()),
            ("--user", self.user.is_some()),
            ("--token-file", self.token_file.is_some()),
            ("--nkey-file", self.nkey_file.is_some()),
        ];
        let chosen: Vec<&str> = chosen.into_iter().filter_map(|(flag, is_set)| is_set.then_some(flag)).collect();
        if let [first, second, ..] = chosen[..] {
            return Err(format!("{first} and {second} are both credentials: keep one of them").into());
        }
        if self.password_file.is_some() && self.user.is_none() {
            return Err("--password-file needs the user of the password: add --user".into());
        }
        if let Some(path) = &self.credentials {
            return Ok(Auth::CredentialsFile(path.clone()));
        }
        if let Some(user) = &self.user {
            return Ok(Auth::User { user: user.clone(), password: self.password()? });
        }
        if let Some(path) = &self.token_file {
            return Ok(Auth::Token(Secret::from_file("token", path)?));
        }
        if let Some(path) = &self.nkey_file {
            return Ok(Auth::NKey(Secret::from_file("seed", path)?));
        }
        let is_set = |name: &str| std::env::var_os(name).is_some();
        Ok(if is_set("KVWATCH_TOKEN") {
            Auth::Token(Secret::from_env("token", "KVWATCH_TOKEN")?)
        } else if is_set("KVWATCH_NKEY") {
            Auth::NKey(Secret::from_env("seed", "KVWATCH_NKEY")?)
        } else {
            Auth::Nobody
        })
    }
}
