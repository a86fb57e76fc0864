//! Parses the values of arguments.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};
use kvwatch::world::Personality;
use kvwatch::{ByteSize, ByteSizeError, Cache, Engine, EngineBuilder, Grants, Watcher};

use super::{chain, escape, style};

/// `500ms`, `2s` or `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a whole number of ms, s or m, greater than 0, for example 500ms".to_owned();
    // `ms` comes before `s`, because a text that ends in `ms` also ends in `s`.
    let (number, millis) = [("ms", 1), ("s", 1000), ("m", 60_000)]
        .into_iter()
        .find_map(|(unit, millis)| Some((text.strip_suffix(unit)?, millis)))
        .ok_or_else(wrong)?;
    let number: u64 = number.trim_end().parse().map_err(|_| wrong())?;
    let millis = number.checked_mul(millis).filter(|millis| *millis > 0).ok_or_else(wrong)?;
    Ok(Duration::from_millis(millis))
}

/// The least memory of an instance: one page.
const PAGE: ByteSize = ByteSize(64 << 10);

/// A limit of memory. A limit of less than a page is refused, because a unit was probably forgotten.
pub(crate) fn memory(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: ByteSizeError| error.to_string())?;
    if size < PAGE {
        return Err(format!("{size} is less than one page of memory (64KiB): write a unit too, for example 64MiB"));
    }
    Ok(size)
}

/// A number of workers.
#[cfg(feature = "serve")]
pub(crate) fn workers(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| (1..=1024).contains(number));
    number.ok_or_else(|| "write a number from 1 to 1024".to_owned())
}

/// A number that must not be 0.
#[cfg(feature = "serve")]
pub(crate) fn count(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("write a number from 1 to {}", u32::MAX))
}

/// A limit of fuel.
pub(crate) fn fuel(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "write a whole number".to_owned())
}

/// The cache of compiled watchers, unless `--no-cache` was given. If the folder cannot be used, the user gets a warning.
pub(crate) fn cache(no_cache: bool) -> Option<Cache> {
    if no_cache {
        return None;
    }
    Cache::of_user().unwrap_or_else(|error| {
        warn_of_cache(&error);
        None
    })
}

/// Warns that compiled watchers are not kept, and why.
pub(crate) fn warn_of_cache(error: &dyn std::error::Error) {
    style::warning(&format!(
        "compiled watchers cannot be kept for the next start: {}; name another folder with {}, or give --no-cache",
        chain(error),
        Cache::FOLDER_VARIABLE
    ));
}

/// An engine with these limits. `pool` is the number of instances in its pool. Use a pool for a watcher that gets a new instance
/// for each event: without a pool, making an instance takes longer than most events. A machine may not have enough memory for a
/// pool. Then the engine has none.
pub(crate) fn engine(limits: &EngineBuilder, pool: Option<u32>) -> super::Result<Engine> {
    let pooled = pool.and_then(|instances| limits.clone().pooled(instances).build().ok());
    Ok(pooled.map_or_else(|| limits.clone().build(), Ok)?)
}

/// The warning about a stub that replaces no import of the watcher.
pub(crate) fn unused_stub(watcher: &Watcher, stub: &str) -> String {
    let advice = "`kvwatch check` lists its imports, and which of them need a stub";
    escape::line(&format!("--stub {stub} has no effect: it replaces no import of {}; {advice}", watcher.name()))
}

/// The grants of the flags `--env`, `--dir` and `--stub`.
pub(crate) fn grants(env: &[String], dirs: &[String], stubs: &[String]) -> super::Result<Grants> {
    let mut grants = Grants::new();
    for variable in env {
        if variable.is_empty() || variable.starts_with('=') {
            return Err(
                format!("--env {variable}: the name of the variable is missing: write `--env NAME=VALUE`").into()
            );
        }
        grants = if let Some((name, value)) = variable.split_once('=') {
            grants.env(name, value)
        } else {
            let value = std::env::var(variable)
                .map_err(|error| format!("--env {variable}: {error}; give the value, as `--env {variable}=VALUE`"))?;
            grants.env(variable, value)
        };
    }
    for dir in dirs {
        let Some((host, guest)) = dir.split_once("::").filter(|(host, guest)| !host.is_empty() && !guest.is_empty())
        else {
            return Err(format!(
                "--dir {dir} does not name two folders: write `--dir HOST::GUEST` or `--dir HOST::GUEST:ro`"
            )
            .into());
        };
        grants = match guest.strip_suffix(":ro") {
            Some(guest) => grants.read_only_dir(host, guest),
            None => grants.dir(host, guest),
        };
    }
    Ok(stubs.iter().fold(grants, Grants::stub))
}

/// The grants of the flag `--allow-host`.
#[cfg(all(feature = "http", feature = "serve"))]
pub(crate) fn allow_hosts(grants: Grants, hosts: &[String]) -> super::Result<Grants> {
    hosts.iter().try_fold(grants, |grants, host| {
        let host = host.parse::<kvwatch::AllowedHost>().map_err(|error| format!("--allow-host {host}: {error}"))?;
        Ok(grants.allow_host(host))
    })
}

/// The same for a kvwatch without an HTTP client.
#[cfg(all(not(feature = "http"), feature = "serve"))]
pub(crate) fn allow_hosts(grants: Grants, hosts: &[String]) -> super::Result<Grants> {
    match hosts {
        [] => Ok(grants),
        [host, ..] => Err(format!("--allow-host {host}: this kvwatch was built without the feature `http`").into()),
    }
}

/// Parses the name of a personality, or reads one from a file.
pub(crate) fn personality(text: &str) -> Result<Personality, String> {
    if let Some(personality) = Personality::named(text) {
        return Ok(personality);
    }
    let path = Path::new(text);
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        let names: Vec<&str> = Personality::all().into_iter().map(|(name, _)| name).collect();
        return Err(format!(
            "there is no personality of that name; name a .json file, or one of\n  {}",
            names.join("\n  ")
        ));
    }
    let json = fs::read(path).map_err(|error| format!("cannot read it: {error}"))?;
    serde_json::from_slice(&json).map_err(|error| format!("it is not a personality: {}", chain(&error)))
}

/// Parses like [`personality`]. It also knows the names, so that shells can complete them.
#[derive(Clone, Debug)]
pub(crate) struct PersonalityParser;

impl TypedValueParser for PersonalityParser {
    type Value = Personality;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Personality, clap::Error> {
        personality.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Personality::all().into_iter().map(|(name, _)| PossibleValue::new(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, millis) in [("500ms", 500), ("2s", 2000), ("1 m", 60_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "5", "0s", "-1s", "1.5s", "18446744073709551615m", "1h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_memory_of_less_than_a_page() {
        assert_eq!(memory("64KiB"), Ok(ByteSize(64 << 10)));
        assert!(memory("64").unwrap_err().contains("64MiB"));
        assert!(memory("63KiB").is_err());
    }

    #[test]
    fn refuses_a_variable_without_a_name() {
        for variable in ["=x", "=", ""] {
            let error = grants(&[variable.to_owned()], &[], &[]).unwrap_err().to_string();
            assert!(error.contains("the name of the variable is missing"), "{error}");
        }
    }

    #[test]
    fn reads_personalities() {
        assert_eq!(personality("size-0"), Ok(Personality::named("size-0").unwrap()));
        assert!(personality("nobody").unwrap_err().contains("\n  hostile"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mine.json");
        let path = file.to_str().unwrap();
        assert!(personality(path).unwrap_err().starts_with("cannot read it"));
        fs::write(&file, r#"{"read":{"excess":1}}"#).unwrap();
        assert_eq!(personality(path).unwrap().read.excess, 1);
        fs::write(&file, r#"{"reed":{}}"#).unwrap();
        assert!(personality(path).unwrap_err().contains("unknown field `reed`"));
    }
}
