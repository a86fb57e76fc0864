//! The configuration file of `kvwatch serve`.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log::Format;
use super::options::Options;
use crate::cli::Result;

/// What one process does. A file has these fields, and a table `[[watcher]]` for each watcher.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) listen: Option<Listen>,
    pub(crate) log: Option<Format>,
    #[serde(rename = "watcher")]
    pub(crate) watchers: Vec<Options>,
}

/// Where metrics are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        text.parse().map(Self).map_err(|_| "it is a port, or an IP address and a port, as 0.0.0.0:9090".into())
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(Listen(address): Listen) -> Self {
        address.to_string()
    }
}

impl Config {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).map_err(|error| format!("cannot read --config {}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("--config {}: {error}", path.display()).into())
    }

    fn parse(text: &str) -> std::result::Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Adds what the command line says, which comes before what the file says, and puts every default in its place.
    pub(crate) fn complete(mut self, flags: Options, listen: Option<Listen>, log: Option<Format>) -> Result<Self> {
        self.listen = listen.or(self.listen);
        self.log = log.or(self.log);
        match &mut self.watchers[..] {
            [] => self.watchers.push(flags),
            [only] => *only = flags.or(std::mem::take(only)),
            _ if flags.is_empty() => {}
            several => {
                return Err(format!(
                    "the configuration has {} watchers, so it is not clear which one the options on the command line are \
                     for: put them into the file",
                    several.len()
                )
                .into());
            }
        }
        self.watchers = self.watchers.into_iter().map(Options::complete).collect();
        let mut names = BTreeSet::new();
        for name in self.watchers.iter().filter_map(|it| it.name.as_ref()) {
            if !names.insert(name) {
                return Err(format!(
                    "two watchers have the name `{}`: give each its own",
                    kvwatch::serve::Escaped(name)
                )
                .into());
            }
        }
        Ok(self)
    }

    /// The text of a file that says the same.
    pub(crate) fn to_text(&self) -> Result<String> {
        Ok(toml::to_string(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_and_a_bad_value_are_errors_with_their_line() {
        for (text, line, problem) in [
            ("listen = \"9090\"\n\n[[watcher]]\nworkrs = 3\n", "line 4", "unknown field `workrs`"),
            ("[[watcher]]\nfrom = \"nats://a/b\"\ntime = \"5\"\n", "line 3", "a time is a whole number"),
            ("listen = \"nowhere\"\n", "line 1", "it is a port"),
            ("[[watcher]]\nfrom = \"nats://u:hunter2@a/b\"\n", "line 2", "put them into a file"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn what_is_printed_reads_as_the_same() {
        let text = "listen = \"0.0.0.0:9090\"\n[[watcher]]\nwatcher = \"w.wasm\"\nfrom = \"nats://a:4222/b\"\nname = \"w\"\n\
            memory = \"64MiB\"\ntime = \"1500ms\"\ndead-letters = \"nats:dead.w\"\n";
        let config = Config::parse(text).unwrap().complete(Options::default(), None, None).unwrap();
        let printed = config.to_text().unwrap();
        for line in
            ["time = \"1500ms\"", "memory = \"64MiB\"", "workers = 1", "ack-wait = \"5s\"", "listen = \"0.0.0.0:9090\""]
        {
            assert!(printed.lines().any(|it| it == line), "{line}\n{printed}");
        }
        let again = Config::parse(&printed).unwrap().complete(Options::default(), None, None).unwrap();
        assert_eq!(again.to_text().unwrap(), printed);
    }

    #[test]
    fn flags_come_before_the_file_and_only_with_one_watcher() {
        let flags = Options { workers: Some(7), ..Options::default() };
        let one = Config::parse("[[watcher]]\nworkers = 2\nname = \"a\"\n").unwrap();
        let one = one.complete(flags.clone(), None, None).unwrap();
        assert_eq!((one.watchers[0].workers, one.watchers[0].name.as_deref()), (Some(7), Some("a")));
        let two = Config::parse("[[watcher]]\nname = \"a\"\n[[watcher]]\nname = \"b\"\n").unwrap();
        assert!(two.clone().complete(flags, None, None).unwrap_err().to_string().contains("has 2 watchers"));
        assert!(two.complete(Options::default(), None, None).is_ok());
        let same = Config::parse("[[watcher]]\nname = \"a\"\n[[watcher]]\nname = \"a\"\n").unwrap();
        assert!(same.complete(Options::default(), None, None).unwrap_err().to_string().contains("`a`"));
    }

    #[test]
    fn a_port_alone_listens_on_this_machine_only() {
        assert_eq!("9090".parse::<Listen>().unwrap().0.to_string(), "127.0.0.1:9090");
        assert!("localhost".parse::<Listen>().is_err());
    }
}
