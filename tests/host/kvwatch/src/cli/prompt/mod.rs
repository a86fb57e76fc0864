//! The prompt: the user types commands and events.
//!
//! The documentation of [`kvwatch::sources`] says why the prompt is not a source.

mod command;
mod helper;
mod pasted;

use std::cell::RefCell;
use std::env;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kvwatch::ByteSize;
use kvwatch::world::{Content, Event, open_events};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Behavior, ColorMode, CompletionType, Config, Editor};

use self::command::{Command, HELP};
use self::helper::Helper;
use self::pasted::Pasted;
use super::run::{ReadLimits, replay_file};
use super::runner::Runner;
use super::stats::plural;
use super::style::{FAINT, STRONG};
use super::watch::Watch;
use super::{Result, chain, escape, screen, style};

const PROMPT: &str = "kvwatch> ";

/// The most bytes of a value that are shown.
const MOST_SHOWN: u64 = 4 * 1024;

/// Carries out the user's commands, until the user ends the input.
pub(crate) fn run(runner: &mut Runner, watch: Option<&Watch>, limits: ReadLimits) -> Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(if screen::is_coloured() { ColorMode::Enabled } else { ColorMode::Disabled })
        // If standard output is a file or a pipe, the prompt is on the terminal itself.
        .behavior(if io::stdout().is_terminal() { Behavior::Stdio } else { Behavior::PreferTerm })
        .max_history_size(1000)?
        .history_ignore_dups(true)?
        .build();
    let mut editor: Editor<Helper, FileHistory> = Editor::with_config(config)?;
    let keys = Rc::new(RefCell::new(Vec::new()));
    editor.set_helper(Some(Helper::new(Rc::clone(&keys))));
    let history = history_file();
    if let Some(history) = &history {
        // At the first start, the file does not exist yet.
        let _ = editor.load_history(history);
    }
    if watch.is_some() {
        screen::set_prompt(editor.create_external_printer()?);
    }
    let has = match runner.keys().len() as u64 {
        0 => "that is empty".to_owned(),
        keys => format!("with {}", plural(keys, "key")),
    };
    style::say(&format!(
        "{} watches a store {has}; type {} for the commands",
        escape::line(runner.watcher_name()),
        style::styled(STRONG, "help")
    ));
    let mut pasted = Pasted::default();
    let mut last = None;
    loop {
        let Some(line) = pasted.next_line() else {
            keys.replace(runner.keys());
            if let Err(error) = runner.save() {
                style::error(&chain(&*error));
            }
            match editor.readline(PROMPT) {
                Ok(text) => pasted.add(&text),
                // The editor has cleared the line.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    // The editor drops the bytes that it has read. The rest of a paste must not run either.
                    #[cfg(unix)]
                    let _ = nix::sys::termios::tcflush(io::stdin(), nix::sys::termios::FlushArg::TCIFLUSH);
                    style::error(
                        "the line has a byte that is not UTF-8, and is refused; type it again, or use `set KEY @FILE`",
                    );
                }
                Err(error) => return Err(error.into()),
            }
            continue;
        };
        if let Some(watcher) = watch.and_then(Watch::ready) {
            runner.reload(watcher);
        }
        editor.add_history_entry(&line)?;
        if let Some(history) = &history {
            // Another prompt may write the same file, so only this line is added. Without a history, the prompt works all the same.
            let _ = history.parent().map(fs::create_dir_all);
            let _ = editor.append_history(history);
        }
        let handled = match line.parse() {
            Ok(Command::Quit) => break,
            Ok(command) => carry_out(command, runner, &mut last, limits)?,
            Err(error) => {
                style::error(&error.to_string());
                false
            }
        };
        if !handled {
            let left = pasted.clear() as u64;
            if left > 0 {
                style::say(&style::styled(FAINT, &format!("{} after it did not run", plural(left, "line"))));
            }
        }
    }
    Ok(())
}

/// Reads the content of a file.
fn value_of(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a named pipe may wait for ever, and a device may have no end.
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other(if metadata.is_dir() { "it is a folder" } else { "it is not a regular file" }));
    }
    fs::read(path)
}

/// Carries out a command. Returns `false` if it refuses the command.
fn carry_out(command: Command, runner: &mut Runner, last: &mut Option<Event>, limits: ReadLimits) -> Result<bool> {
    let event = match command {
        Command::Set(key, value) => Event::set(key, value),
        Command::SetFile(key, path) => match value_of(&path) {
            Ok(bytes) => Event::set(key, Content::from(bytes)),
            Err(error) => {
                style::error(&format!("cannot read the value from the file {}: {error}", path.display()));
                return Ok(false);
            }
        },
        Command::Delete(key) => {
            if runner.get(&key, None).is_none() {
                style::say(&style::styled(FAINT, "the store has no such key; the watcher gets the event nevertheless"));
            }
            Event::delete(key)
        }
        Command::Event(event) => event,
        Command::Again => {
            let Some(event) = last.clone() else {
                style::error("there was no event yet: make one with `set KEY VALUE`");
                return Ok(false);
            };
            event
        }
        Command::Fresh => {
            runner.renew();
            style::say(&style::styled(FAINT, "the next event goes to a new instance; the store has not changed"));
            return Ok(true);
        }
        Command::Get(key, bucket) => return show(&key, bucket.as_deref(), runner),
        Command::Keys(prefix, bucket) => return list(&prefix, bucket.as_deref(), runner),
        Command::Load(path) => return load(&path, runner, limits),
        Command::Stats => {
            style::say(&runner.stats().headline());
            runner.stats().table().iter().for_each(|table| style::say(table));
            return Ok(true);
        }
        Command::Help => {
            style::say(HELP);
            return Ok(true);
        }
        Command::Quit => return Ok(true),
    };
    apply(&event, runner)?;
    *last = Some(event);
    Ok(true)
}

fn apply(event: &Event, runner: &mut Runner) -> Result<()> {
    let outcome = runner.apply(event)?;
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

/// The file that keeps the typed lines for the next run.
fn history_file() -> Option<PathBuf> {
    let folder = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".local/state")))?;
    Some(folder.join("kvwatch/history"))
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
