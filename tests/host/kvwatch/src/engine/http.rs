//! `wasi:http`: requests of a watcher to the hosts that are allowed.

mod body;

use std::fmt;
use std::str::FromStr;

use http::uri::{Authority, Scheme};
use wasmtime_wasi_http::{
    Error, RequestOptions, Result as HttpResult, WasiBody, WasiHttpCtx, WasiHttpHooks, default_send_request,
};

use self::body::WholeBody;

/// A host that a watcher may send requests to: `example.org`, `example.org:8443`, `[::1]:8080`, or `*` for every host.
///
/// Without a port, all ports are meant. Names are compared as they are written, without regard to case: a name does not stand for the
/// addresses behind it.
///
/// ```
/// use kvwatch::AllowedHost;
///
/// let host: AllowedHost = "Example.org:8443".parse()?;
/// assert_eq!(host.to_string(), "example.org:8443");
/// assert!("http://example.org/".parse::<AllowedHost>().is_err());
/// # Ok::<(), kvwatch::AllowedHostError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    /// `None` stands for every host.
    name: Option<String>,
    /// `None` stands for every port.
    port: Option<u16>,
}

/// The text is not a host with or without a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host: write a name or an address, with a port or without, as example.org:8443 or [::1]:8080, or * for all"
)]
pub struct AllowedHostError(String);

impl AllowedHost {
    fn includes(&self, name: &str, port: u16) -> bool {
        self.name.as_ref().is_none_or(|known| known.eq_ignore_ascii_case(name))
            && self.port.is_none_or(|known| known == port)
    }
}

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, AllowedHostError> {
        if text == "*" {
            return Ok(Self { name: None, port: None });
        }
        let wrong = || AllowedHostError(text.to_owned());
        let authority: Authority = text.parse().map_err(|_| wrong())?;
        let (name, port) = (authority.host(), authority.port_u16());
        // The rest of an authority is a user name, or a port that is not valid.
        let rest = text.strip_prefix(name).ok_or_else(wrong)?;
        let is_whole = match port {
            Some(port) => rest == format!(":{port}"),
            None => rest.is_empty(),
        };
        if name.is_empty() || name.contains('*') || !is_whole {
            return Err(wrong());
        }
        Ok(Self { name: Some(name.to_ascii_lowercase()), port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_deref().unwrap_or("*"))?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The state of an instance for HTTP.
pub(crate) struct Http {
    pub(crate) context: WasiHttpCtx,
    pub(crate) gate: Gate,
}

/// Lets requests to allowed hosts pass.
pub(crate) struct Gate {
    allowed: Vec<AllowedHost>,
    denied: Vec<String>,
}

impl Http {
    pub(crate) fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { context: WasiHttpCtx::new(), gate: Gate { allowed, denied: Vec::new() } }
    }

    /// Whether [`take_denied`](Self::take_denied) would return a host.
    pub(crate) fn has_denied(&self) -> bool {
        !self.gate.denied.is_empty()
    }

    /// The hosts, with their ports, to which a request was denied since the last call.
    pub(crate) fn take_denied(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gate.denied)
    }
}

impl Gate {
    /// The most hosts that are noted in an event, and the longest name.
    const MOST: usize = 16;
    const LONGEST: usize = 300;

    fn lets_pass(&mut self, request: &http::Request<WasiBody>) -> bool {
        let Some(authority) = request.uri().authority() else { return false };
        let default = if request.uri().scheme() == Some(&Scheme::HTTP) { 80 } else { 443 };
        let (name, port) = (authority.host(), authority.port_u16().unwrap_or(default));
        if self.allowed.iter().any(|host| host.includes(name, port)) {
            return true;
        }
        let host = format!("{name}:{port}");
        if self.denied.len() < Self::MOST && host.len() <= Self::LONGEST && !self.denied.contains(&host) {
            self.denied.push(host);
        }
        false
    }
}

type Later<T> = Box<dyn Future<Output = T> + Send>;

impl WasiHttpHooks for Gate {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Later<Result<(), Error>>,
    ) -> Later<HttpResult<(http::Response<WasiBody>, Later<Result<(), Error>>)>> {
        if !self.lets_pass(&request) {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (parts, body) = request.into_parts();
            let body = WholeBody::new(body, &parts.headers);
            let request = http::Request::from_parts(parts, body);
            let (response, connection) = default_send_request(request, options).await?;
            let connection: Later<Result<(), Error>> = Box::new(connection);
            Ok((response.map(http_body_util::BodyExt::boxed_unsync), connection))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts() {
        for text in ["*", "localhost", "example.org:8443", "127.0.0.1:80", "[::1]", "[::1]:8080"] {
            assert_eq!(text.parse::<AllowedHost>().map(|host| host.to_string()).as_deref(), Ok(text));
        }
        for text in
            ["", "http://a", "a/b", "a:", "a:x", "a:70000", "user@a", "*.example.org", "::1", "a b", "\u{1b}[2J", ":80"]
        {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_its_name_and_its_port() {
        for (host, name, port, included) in [
            ("*", "anything", 1, true),
            ("example.org", "EXAMPLE.org", 8443, true),
            ("example.org", "www.example.org", 443, false),
            ("example.org", "example.org.evil", 443, false),
            ("example.org:443", "example.org", 80, false),
            ("[::1]:80", "[::1]", 80, true),
            ("127.0.0.1", "localhost", 80, false),
        ] {
            assert_eq!(host.parse::<AllowedHost>().unwrap().includes(name, port), included, "{host} {name}:{port}");
        }
    }
}
