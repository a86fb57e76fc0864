use std::fmt;
use std::str::FromStr;

use super::error::Error;
use crate::sources::nats::printable_address;

/// The address of a database: `redis://HOST[:PORT][/DB]`. The default port is 6379, and the default database is 0.
///
/// An address has no user or password in it, because it is visible in process lists and in logs. [`Auth`](super::Auth) has these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    database: u32,
}

impl Address {
    /// The name or the IP address of the server, an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of the database.
    #[must_use]
    pub fn database(&self) -> u32 {
        self.database
    }

    /// The same server with another database.
    #[must_use]
    pub fn with_database(&self, database: u32) -> Self {
        Self { database, ..self.clone() }
    }

    /// The server, for messages.
    #[must_use]
    pub fn server(&self) -> String {
        if self.host.contains(':') {
            format!("redis://[{}]:{}", self.host, self.port)
        } else {
            format!("redis://{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Address { address: printable_address(text), problem: problem.to_owned() };
        if text.starts_with("rediss://") {
            return Err(bad(
                "kvwatch has no TLS for Redis; let a proxy like stunnel encrypt the connection, and use redis:// to the proxy",
            ));
        }
        let rest = text.strip_prefix("redis://").ok_or_else(|| bad("it does not begin with redis://"))?;
        if text.contains('@') {
            return Err(bad(
                "it contains a user or a password, which everybody on this machine could see; put them into a file or the \
                 environment",
            ));
        }
        let (server, database) = rest.split_once('/').unwrap_or((rest, "0"));
        let database = if database.is_empty() { "0" } else { database };
        let database = database
            .parse()
            .map_err(|_| bad("after the server comes the number of a database, like /0, and no more"))?;
        let (host, port) = match server.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(|| bad("the bracket of the IPv6 address is not closed"))?,
            None => server.find(':').map_or((server, ""), |colon| server.split_at(colon)),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(bad("it has no name of a server"));
        }
        let port = match port {
            "" => 6379,
            _ => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port != 0)
                .ok_or_else(|| bad("a port is a number between 1 and 65535"))?,
        };
        Ok(Self { host: host.to_owned(), port, database })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server(), self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_server_and_a_database() {
        for (text, shown) in [
            ("redis://a:7000/3", "redis://a:7000/3"),
            ("redis://a", "redis://a:6379/0"),
            ("redis://a/", "redis://a:6379/0"),
            ("redis://10.0.0.1/15", "redis://10.0.0.1:6379/15"),
            ("redis://[::1]:7000/1", "redis://[::1]:7000/1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        assert_eq!("redis://[::1]/1".parse::<Address>().unwrap().host(), "::1");
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        for (text, problem) in [
            ("localhost/1", "redis://"),
            ("nats://localhost/b", "redis://"),
            ("rediss://localhost/1", "stunnel"),
            ("redis:///1", "no name"),
            ("redis://a:99999/1", "port"),
            ("redis://a:0/1", "port"),
            ("redis://a:b/1", "port"),
            ("redis://a/b", "number of a database"),
            ("redis://a/-1", "number of a database"),
            ("redis://a/1/2", "number of a database"),
            ("redis://a/1?protocol=resp3", "number of a database"),
            ("redis://[::1/1", "bracket"),
            ("redis://lo\u{1b}[31mcal/1", "no name"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn an_address_never_shows_a_secret() {
        for text in ["redis://ada:hunter2@localhost/1", "redis://:hunter2@a/1", "ada:hunter2@a", "rediss://x:hunter2@a"]
        {
            let error = text.parse::<Address>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
