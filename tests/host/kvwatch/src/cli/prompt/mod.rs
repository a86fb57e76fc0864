//! The prompt: the user types commands and events.
//!
//! [`Typed`] is the source of the typed lines. This module carries them out.

mod command;
mod helper;
mod pasted;
mod typed;

use std::path::Path;

use kvwatch::ByteSize;
use kvwatch::sources::{Delivery, Item, Source as _};
use kvwatch::world::{Change, open_events};

use self::command::{HELP, Request};
use self::typed::Typed;
use super::run::{ReadLimits, replay_file};
use super::runner::Runner;
use super::stats::plural;
use super::style::{FAINT, STRONG};
use super::watch::Watch;
use super::{Result, chain, escape, style};

/// The most bytes of a value that are shown.
const MOST_SHOWN: u64 = 4 * 1024;

/// Carries out what the user types, until the user ends the input.
pub(crate) fn run(runner: &mut Runner, watch: Option<&Watch>, limits: ReadLimits) -> Result<()> {
    let mut typed = Typed::new(watch.is_some())?;
    let has = match runner.keys().len() as u64 {
        0 => "that is empty".to_owned(),
        keys => format!("with {}", plural(keys, "key")),
    };
    style::say(&format!(
        "{} watches a store {has}; type {} for the commands",
        escape::line(runner.watcher_name()),
        style::styled(STRONG, "help")
    ));
    loop {
        if typed.waits_for_user() {
            typed.complete_keys(runner.keys());
            if let Err(error) = runner.save() {
                style::error(&chain(&*error));
            }
        }
        let item = typed.next();
        if let Some(watcher) = watch.and_then(Watch::ready) {
            runner.reload(watcher);
        }
        match item {
            Item::Event(delivery) => apply(delivery, runner)?,
            Item::Request(request) => {
                if !answer(request, runner, limits)? {
                    typed.drop_pasted_lines();
                }
            }
            Item::Warning(refusal) => {
                style::error(&refusal);
                typed.drop_pasted_lines();
            }
            _ => return typed.result(),
        }
    }
}

/// Applies an event, and shows what the watcher wrote.
fn apply(delivery: Delivery, runner: &mut Runner) -> Result<()> {
    let event = &delivery.event;
    if matches!(event.change, Change::Delete) && runner.get(&event.key, None).is_none() {
        style::say(&style::styled(FAINT, "the store has no such key; the watcher gets the event nevertheless"));
    }
    let outcome = runner.deliver(delivery)?;
    for (number, value) in (1..).zip(outcome.values()) {
        let most = usize::try_from(MOST_SHOWN).unwrap_or(usize::MAX);
        let text = shown(&value.bytes[..value.bytes.len().min(most)]);
        let more = if value.len > MOST_SHOWN { "…" } else { "" };
        style::say(&format!("value {number}, {}: {text}{more}", ByteSize(value.len)));
    }
    if outcome.is_handled() {
        let duration = outcome.duration.unwrap_or_default();
        style::say(&style::styled(FAINT, &format!("handled in {duration:.1?}")));
    }
    Ok(())
}

/// Carries out a request. Returns `false` if it cannot.
fn answer(request: Request, runner: &mut Runner, limits: ReadLimits) -> Result<bool> {
    match request {
        Request::Get(key, bucket) => return show(&key, bucket.as_deref(), runner),
        Request::Keys(prefix, bucket) => return list(&prefix, bucket.as_deref(), runner),
        Request::Load(path) => return load(&path, runner, limits),
        Request::Fresh => {
            runner.renew();
            style::say(&style::styled(FAINT, "the next event goes to a new instance; the store has not changed"));
        }
        Request::Stats => {
            style::say(&runner.stats().headline());
            runner.stats().table().iter().for_each(|table| style::say(table));
        }
        Request::Help => style::say(HELP),
    }
    Ok(true)
}

fn load(path: &Path, runner: &mut Runner, limits: ReadLimits) -> Result<bool> {
    let before = runner.stats().all();
    let file = match open_events(path) {
        Ok(file) => file,
        Err(error) => {
            style::error(&error.to_string());
            return Ok(false);
        }
    };
    let complete = replay_file(runner, path, file, limits, None)?;
    let now = runner.stats().all();
    let events = plural(now.events - before.events, "event");
    let failed = match now.failed - before.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    style::say(&style::styled(FAINT, &format!("{events} of {}{failed}", escape::line(&path.display().to_string()))));
    Ok(complete)
}

fn show(key: &str, bucket: Option<&str>, runner: &Runner) -> Result<bool> {
    let Some(content) = runner.get(key, bucket) else {
        let of = bucket.map(|bucket| format!(" in the bucket {bucket:?}")).unwrap_or_default();
        style::error(&format!("the store has no key {key:?}{of}: `keys` lists the keys"));
        return Ok(false);
    };
    style::print(&shown(&content.read(0, MOST_SHOWN)?))?;
    if content.len() > MOST_SHOWN {
        let message = format!("… the first {} of {}", ByteSize(MOST_SHOWN), ByteSize(content.len()));
        style::say(&style::styled(FAINT, &message));
    }
    Ok(true)
}

/// The text with escapes for the characters that control a terminal. Bytes that are not text are escaped.
fn shown(bytes: &[u8]) -> String {
    let bytes = escape::whole_characters(bytes);
    str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), escape::lines)
}

fn list(prefix: &str, bucket: Option<&str>, runner: &Runner) -> Result<bool> {
    let entries: Vec<_> = runner.entries(bucket).into_iter().filter(|(key, _)| key.starts_with(prefix)).collect();
    let sizes: Vec<_> = entries.iter().map(|(_, content)| ByteSize(content.len()).to_string()).collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    for ((key, _), size) in entries.iter().zip(&sizes) {
        style::print(&format!("{size:>width$}  {}", escape::line(key)))?;
    }
    let of = if prefix.is_empty() { String::new() } else { format!(" that start with {prefix:?}") };
    let within = bucket.map(|bucket| format!(" in the bucket {bucket:?}")).unwrap_or_default();
    style::say(&style::styled(FAINT, &escape::line(&format!("{}{of}{within}", plural(entries.len() as u64, "key")))));
    let others = runner.other_buckets();
    if bucket.is_none() && !others.is_empty() {
        const MOST: usize = 10;
        let names: Vec<_> = others.iter().take(MOST).map(|name| format!("{name:?}")).collect();
        let more = if others.len() > MOST { format!(" and {} more", others.len() - MOST) } else { String::new() };
        let message = format!("other buckets have keys too: {}{more}; `keys '' BUCKET` shows them", names.join(", "));
        style::say(&style::styled(FAINT, &escape::line(&message)));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_values_without_control_characters() {
        assert_eq!(shown("Größe\n\tx".as_bytes()), "Größe\n\tx");
        assert_eq!(shown(b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(shown(b"\x89PNG\n"), "\\x89PNG\\n");
        assert_eq!(shown(&"aß".as_bytes()[..2]), "a");
    }
}
