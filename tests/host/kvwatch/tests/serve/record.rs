//! The output of the handlers, and the rules for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One line: an event started or ended.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) end: bool,
    pub(crate) process: u32,
    pub(crate) sequence: u64,
    pub(crate) key: String,
    pub(crate) value: String,
}

pub(crate) fn read(folder: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(folder.join("record")).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.splitn(5, ' ');
        Some(Line {
            end: words.next()? == "end",
            process: words.next()?.parse().ok()?,
            sequence: words.next()?.parse().ok()?,
            key: words.next()?.to_owned(),
            value: words.next()?.to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// The sequences of the dead letters.
pub(crate) fn letters(folder: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(folder.join("dead.jsonl")).unwrap_or_default();
    let sequence = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["sequence"].as_u64();
    text.lines().filter_map(sequence).collect()
}

/// The dead letters that no handler had, because they were delivered more than five times (the exception of D3).
pub(crate) fn suspected(folder: &Path) -> BTreeSet<u64> {
    let text = std::fs::read_to_string(folder.join("dead.jsonl")).unwrap_or_default();
    let suspected = |line: &str| {
        let letter: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_suspected = letter["attempts"].as_u64()? == 0 && letter["deliveries"].as_u64()? > 5;
        letter["sequence"].as_u64().filter(|_| is_suspected)
    };
    text.lines().filter_map(suspected).collect()
}

/// The events that finished, or became dead letters.
pub(crate) fn done(folder: &Path) -> BTreeSet<u64> {
    read(folder).into_iter().filter(|line| line.end).map(|line| line.sequence).chain(letters(folder)).collect()
}

/// Waits until this many events are done.
pub(crate) async fn wait_for(folder: &Path, count: usize, limit: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    while done(folder).len() < count {
        if begun.elapsed() > limit {
            let done = done(folder).len();
            return Err(format!("{done} of {count} events are done after {limit:?}\n{}", tail(folder)).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Checks D1 and D2 from outside: the events 1 to `last` are done, except those in `except`. An event started only after every
/// older event of its key was done.
pub(crate) fn check(folder: &Path, last: u64, except: &[u64]) -> Result<(), Failure> {
    let done = done(folder);
    let missing: Vec<u64> = (1..=last).filter(|it| !done.contains(it) && !except.contains(it)).collect();
    if !missing.is_empty() {
        return Err(format!("lost: {missing:?}").into());
    }
    check_order(folder)
}

/// Checks D2 from outside.
pub(crate) fn check_order(folder: &Path) -> Result<(), Failure> {
    let lines = read(folder);
    let mut keys: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for line in &lines {
        keys.entry(&line.key).or_default().insert(line.sequence);
    }
    let mut ended: BTreeSet<u64> = letters(folder).into_iter().collect();
    for line in &lines {
        if line.end {
            ended.insert(line.sequence);
            continue;
        }
        if let Some(older) = keys[line.key.as_str()].range(..line.sequence).find(|older| !ended.contains(older)) {
            return Err(format!("{line:?} started before {older} of its key was done").into());
        }
    }
    Ok(())
}

/// The last lines of the log.
pub(crate) fn tail(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
