use std::fmt;
use std::str::FromStr;

use async_nats::ServerAddr;

use super::error::Error;
use crate::serve::Escaped;

/// The address of a bucket: `nats://HOST[:PORT][,HOST[:PORT]…]/BUCKET`, or `tls://…` for a connection that must be encrypted.
///
/// An address has no user, password or token in it, because it is visible in process lists and in logs. [`Auth`](super::Auth) has
/// these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    servers: Vec<String>,
    tls: bool,
    bucket: String,
}

impl Address {
    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The name of the stream beneath the bucket.
    #[must_use]
    pub fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    /// The servers, for messages.
    #[must_use]
    pub fn servers(&self) -> String {
        self.servers.join(", ")
    }

    pub(super) fn requires_tls(&self) -> bool {
        self.tls
    }

    pub(super) fn server_addresses(&self) -> Result<Vec<ServerAddr>, Error> {
        self.servers
            .iter()
            .map(|server| {
                let parsed = ServerAddr::from_str(server);
                parsed.map_err(|error| Error::Address { address: server.clone(), problem: error.to_string() })
            })
            .collect()
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |problem: &str| Error::Address { address: printable(text), problem: problem.to_owned() };
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| bad("it does not begin with nats://, tls:// or redis://"))?;
        let tls = match scheme {
            "nats" => false,
            "tls" => true,
            _ => return Err(bad("it does not begin with nats://, tls:// or redis://")),
        };
        if text.contains('@') {
            return Err(bad(
                "it contains a user, a password or a token, which everybody on this machine could see; put them into a file \
                 or the environment",
            ));
        }
        let (servers, bucket) = rest.split_once('/').ok_or_else(|| bad("it has no bucket after the server"))?;
        if bucket.is_empty() || !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(bad("the name of a bucket has letters, digits, `-` and `_`, and at least one of them"));
        }
        let servers: Vec<String> = servers.split(',').map(|server| format!("{scheme}://{server}")).collect();
        let address = Self { servers, tls, bucket: bucket.to_owned() };
        for server in address.server_addresses().map_err(|error| match error {
            Error::Address { problem, .. } => bad(&problem),
            other => other,
        })? {
            if server.host().is_empty() {
                return Err(bad("a server has no name"));
            }
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> =
            self.servers.iter().filter_map(|server| server.split_once("://")).map(|it| it.1).collect();
        write!(f, "{}://{}/{}", if self.tls { "tls" } else { "nats" }, hosts.join(","), self.bucket)
    }
}

/// The text of an address that may be wrong, without the parts that may be a secret.
pub(in crate::sources) fn printable(text: &str) -> String {
    let shown = match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://***@{rest}"),
        (None, Some((_, rest))) => format!("***@{rest}"),
        (_, None) => text.to_owned(),
    };
    Escaped(&shown).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_servers_and_a_bucket() {
        let address: Address = "nats://a:4222,b/orders".parse().unwrap();
        assert_eq!(address.bucket(), "orders");
        assert_eq!(address.stream(), "KV_orders");
        assert_eq!(address.server_addresses().unwrap().len(), 2);
        assert_eq!(address.to_string(), "nats://a:4222,b/orders");
        assert!("tls://a/b".parse::<Address>().unwrap().requires_tls());
        assert_eq!("nats://[::1]:4222/b".parse::<Address>().unwrap().server_addresses().unwrap()[0].port(), 4222);
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        for (text, problem) in [
            ("localhost/b", "nats://"),
            ("redis://localhost/1", "nats://"),
            ("nats://localhost", "no bucket"),
            ("nats://localhost/", "at least one"),
            ("nats://localhost/a.b", "letters"),
            ("nats://localhost/a/b", "letters"),
            ("nats:///b", ""),
            ("nats://,/b", ""),
            ("nats://localhost:99999/b", "port"),
            ("nats://lo\u{1b}[31mcal/b", ""),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn an_address_never_shows_a_secret() {
        for text in ["nats://ada:hunter2@localhost/b", "ada:hunter2@localhost/b", "nats://hunter2@a,x:hunter2@b/c"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
