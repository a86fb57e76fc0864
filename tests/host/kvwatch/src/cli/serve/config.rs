//! The configuration file of `kvwatch serve`.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::log::Format;
use super::options::Options;
use crate::cli::Result;

/// The configuration of one process. A file has these fields, and a table `[[watcher]]` for each watcher.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) listen: Option<Listen>,
    pub(crate) log: Option<Format>,
    #[serde(rename = "watcher")]
    pub(crate) watchers: Vec<Options>,
}

/// The address at which metrics are offered.
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

    /// Adds the options of the command line, which take precedence over the file, and all defaults.
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

    /// The configuration as the text of a file.
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
    fn the_example_of_the_readme_is_a_configuration() {
        let readme = include_str!("../../../README.md");
        let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let config = Config::parse(example).unwrap().complete(Options::default(), None, None).unwrap();
        assert_eq!(config.watchers.len(), 2);
        assert!(config.watchers.iter().all(|it| it.source().is_ok()));
    }

    #[test]
    fn what_is_printed_reads_as_the_same() {
        let text = "listen = \"0.0.0.0:9090\"\n[[watcher]]\nwatcher = \"w.wasm\"\nfrom = \"nats://a:4222/b\"\nname = \"w\"\n\
            memory = \"64MiB\"\ntime = \"1500ms\"\ndead-letters = \"nats:dead.w\"\n";
        let config = Config::parse(text).unwrap().complete(Options::default(), None, None).unwrap();
        let printed = config.to_text().unwrap();
        for line in [
            "time = \"1500ms\"",
            "memory = \"64MiB\"",
            "workers = 1",
            "ack-wait = \"5s\"",
            "listen = \"0.0.0.0:9090\"",
            "allow-partial-batches = false",
            "reload = false",
            "no-cache = false",
        ] {
            assert!(printed.lines().any(|it| it == line), "{line}\n{printed}");
        }
        let again = Config::parse(&printed).unwrap().complete(Options::default(), None, None).unwrap();
        assert_eq!(again.to_text().unwrap(), printed);
    }

    #[test]
    fn the_defaults_of_redis_are_printed_for_redis() {
        let text = "[[watcher]]\nfrom = \"redis://a\"\nname = \"w\"\n";
        let config = Config::parse(text).unwrap().complete(Options::default(), None, None).unwrap();
        let printed = config.to_text().unwrap();
        for line in ["feed = 16", "replay = false", "configure = false"] {
            assert!(printed.lines().any(|it| it == line), "{line}\n{printed}");
        }
        assert!(config.watchers[0].source().is_ok());
    }

    /// A value of each option: on the command line, and in the file.
    const VALUES: &[(&str, &str, &str)] = &[
        ("watcher", "w.wasm", "\"w.wasm\""),
        ("from", "nats://a:4222/b", "\"nats://a:4222/b\""),
        ("name", "w", "\"w\""),
        ("since", "all", "\"all\""),
        ("replay", "true", "true"),
        ("configure", "true", "true"),
        ("keys", "users.>", "\"users.>\""),
        ("shared", "true", "true"),
        ("wait", "true", "true"),
        ("workers", "7", "7"),
        ("fresh", "true", "true"),
        ("no-cache", "true", "true"),
        ("time", "1500ms", "\"1500ms\""),
        ("memory", "64MiB", "\"64MiB\""),
        ("fuel", "1000", "1000"),
        ("env", "A=b", "[\"A=b\"]"),
        ("dir", "/a::/b:ro", "[\"/a::/b:ro\"]"),
        ("allow-host", "example.org:443", "[\"example.org:443\"]"),
        ("allow-bucket", "users:ro", "[\"users:ro\"]"),
        ("allow-partial-batches", "true", "true"),
        ("feed", "3", "3"),
        ("stub", "a:b/c", "[\"a:b/c\"]"),
        ("reload", "true", "true"),
        ("attempts", "9", "9"),
        ("dead-letters", "nats:dead.w", "\"nats:dead.w\""),
        ("ack-wait", "7s", "\"7s\""),
        ("max-ack-pending", "50", "50"),
        ("grace", "3s", "\"3s\""),
        ("credentials", "c.creds", "\"c.creds\""),
        ("user", "ada", "\"ada\""),
        ("password-file", "p", "\"p\""),
        ("token-file", "t", "\"t\""),
        ("nkey-file", "n", "\"n\""),
        ("tls-ca", "ca.pem", "\"ca.pem\""),
        ("tls-cert", "c.pem", "\"c.pem\""),
        ("tls-key", "c.key", "\"c.key\""),
        ("tls-first", "true", "true"),
    ];

    #[test]
    fn every_flag_of_a_watcher_is_a_field_of_the_file_and_the_other_way_round() {
        use clap::{CommandFactory as _, Parser};
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let name = |argument: &clap::Arg| argument.get_long().unwrap_or("watcher").to_owned();
        let mut flags: BTreeSet<String> = Line::command().get_arguments().map(name).collect();
        flags.remove("help");
        let values: BTreeSet<String> = VALUES.iter().map(|it| it.0.to_owned()).collect();
        assert_eq!(flags, values, "each flag has a value in this test");
        for (name, flag, field) in VALUES {
            let words = if *name == "watcher" {
                vec!["kvwatch".to_owned(), (*flag).to_owned()]
            } else {
                vec!["kvwatch".to_owned(), format!("--{name}={flag}")]
            };
            let from_line = Line::try_parse_from(words).unwrap().options;
            let text = |options: Options| toml::to_string(&options).unwrap();
            assert_eq!(text(from_line.clone()).trim_end(), format!("{name} = {field}"));
            let from_file = Config::parse(&format!("[[watcher]]\n{name} = {field}\n")).unwrap();
            assert_eq!(text(from_file.watchers[0].clone()), text(from_line.clone()), "{name}");
            // For each option, the command line takes precedence over the file.
            let both = from_file.complete(from_line, None, None).unwrap();
            assert!(both.to_text().unwrap().lines().any(|line| line == format!("{name} = {field}")), "{name}");
        }
        // These flags are for the whole process. --config and --print-config have no meaning in a file.
        for text in ["listen = \"127.0.0.1:9090\"\n", "log = \"json\"\n"] {
            let config = Config::parse(text).unwrap();
            assert!(config.to_text().unwrap().starts_with(text), "{text}");
        }
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
