//! The options of a watcher of a Redis database.

use kvwatch::sources::nats;
use kvwatch::sources::redis::{self, Auth};

use super::options::{Options, PASSWORD};
use super::text::{Letters, Parse, Text};
use crate::cli::Result;

/// The address of the store from which events come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreAddress {
    Nats(nats::Address),
    Redis(redis::Address),
    /// An address on the command line that may contain a secret, and the message about it.
    WithSecret(String),
}

/// Reads an address on the command line. clap prints a value that is refused, so one with a secret in it is refused later.
pub(crate) fn flag(text: &str) -> std::result::Result<Text<StoreAddress>, String> {
    match StoreAddress::parse(text) {
        Err(problem) if text.contains('@') => Ok(Text(StoreAddress::WithSecret(problem))),
        parsed => parsed.map(Text),
    }
}

/// The settings of a watcher's source.
pub(crate) enum SourceSettings {
    Nats(nats::Settings),
    Redis(redis::Settings),
}

impl SourceSettings {
    /// The name of the watcher.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Nats(settings) => &settings.name,
            Self::Redis(settings) => &settings.name,
        }
    }
}

impl Parse for StoreAddress {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.starts_with("redis://") || text.starts_with("rediss://") {
            text.parse().map(Self::Redis).map_err(|error: redis::Error| error.to_string())
        } else {
            text.parse().map(Self::Nats).map_err(|error: nats::Error| error.to_string())
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Nats(address) => address.to_string(),
            Self::Redis(address) => address.to_string(),
            Self::WithSecret(_) => "***".into(),
        }
    }
}

impl Options {
    /// Whether events come from Redis.
    pub(crate) fn is_redis(&self) -> bool {
        matches!(self.from, Some(Text(StoreAddress::Redis(_))))
    }

    /// The settings of a Redis source.
    pub(crate) fn redis(&self, address: redis::Address, name: String) -> Result<redis::Settings> {
        let with_nats_only = [
            ("--since", self.since.is_some(), "use --replay to get the keys that are there already"),
            ("--keys", self.keys.is_some(), "let the watcher look at the key"),
            ("--shared", self.shared.unwrap_or_default(), "each process gets all events"),
            ("--ack-wait", self.ack_wait.is_some(), "Redis knows no acks"),
            ("--credentials", self.credentials.is_some(), "use --user and --password-file"),
            ("--token-file", self.token_file.is_some(), "use --password-file"),
            ("--nkey-file", self.nkey_file.is_some(), "use --user and --password-file"),
            ("--tls-ca", self.tls_ca.is_some(), "kvwatch has no TLS for Redis"),
            ("--tls-cert", self.tls_cert.is_some(), "kvwatch has no TLS for Redis"),
            ("--tls-key", self.tls_key.is_some(), "kvwatch has no TLS for Redis"),
            ("--tls-first", self.tls_first.unwrap_or_default(), "kvwatch has no TLS for Redis"),
        ];
        if let Some((flag, _, instead)) = with_nats_only.into_iter().find(|(_, is_set, _)| *is_set) {
            return Err(format!("{flag} is for NATS, and --from is a Redis address: {instead}").into());
        }
        if let Some(Text(Letters::Subject(_))) = self.dead_letters {
            return Err("--dead-letters nats:SUBJECT needs a NATS address in --from: name a file".into());
        }
        let mut settings = redis::Settings::new(address, name);
        settings.auth = self.redis_auth()?;
        settings.replay = self.replay.unwrap_or_default();
        settings.configure = self.configure.unwrap_or_default();
        settings.wait = self.wait.unwrap_or_default();
        if let Some(most) = self.max_ack_pending {
            settings.max_in_hand = most;
        }
        settings.check()?;
        Ok(settings)
    }

    /// Options that are for Redis only are errors with NATS.
    pub(crate) fn check_without_redis(&self) -> Result<()> {
        let with_redis_only = [
            ("--replay", self.replay.unwrap_or_default(), "--since says where a new name starts"),
            ("--configure", self.configure.unwrap_or_default(), "a bucket needs no configuration"),
        ];
        match with_redis_only.into_iter().find(|(_, is_set, _)| *is_set) {
            Some((flag, _, instead)) => {
                Err(format!("{flag} is for Redis, and --from is a NATS address: {instead}").into())
            }
            None => Ok(()),
        }
    }

    fn redis_auth(&self) -> Result<Auth> {
        let has_password = self.password_file.is_some() || self.user.is_some() || std::env::var_os(PASSWORD).is_some();
        let password = has_password.then(|| self.password()).transpose()?;
        Ok(match (self.user.clone(), password) {
            (Some(user), Some(password)) => Auth::User { user, password },
            (None, Some(password)) => Auth::Password(password),
            (_, None) => Auth::Nobody,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        toml::from_str::<Options>(text).unwrap().complete()
    }

    fn problem(text: &str) -> String {
        match options(text).source() {
            Ok(_) => panic!("{text} is accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn options_of_one_store_are_refused_with_the_other() {
        const REDIS: &str = "from = \"redis://localhost/1\"\nname = \"w\"\n";
        const NATS: &str = "from = \"nats://localhost/b\"\nname = \"w\"\n";
        assert!(matches!(options(REDIS).source(), Ok(SourceSettings::Redis(_))));
        assert!(matches!(options(NATS).source(), Ok(SourceSettings::Nats(_))));
        for (line, flag) in [
            ("since = \"all\"", "--since"),
            ("keys = \"a.>\"", "--keys"),
            ("shared = true", "--shared"),
            ("ack-wait = \"5s\"", "--ack-wait"),
            ("token-file = \"t\"", "--token-file"),
            ("tls-ca = \"t\"", "--tls-ca"),
            ("dead-letters = \"nats:a\"", "--dead-letters"),
        ] {
            assert!(problem(&format!("{REDIS}{line}\n")).starts_with(flag), "{line}");
        }
        for (line, flag) in [("replay = true", "--replay"), ("configure = true", "--configure")] {
            assert!(problem(&format!("{NATS}{line}\n")).starts_with(flag), "{line}");
        }
    }
}
