//! Events typed at a prompt.

mod command;
mod helper;

use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kvwatch::ByteSize;
use kvwatch::world::Event;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{ColorMode, CompletionType, Config, Editor};

use self::command::{Command, HELP};
use self::helper::Helper;
use super::runner::Runner;
use super::stats::plural;
use super::style::{FAINT, STRONG};
use super::watch::Watch;
use super::{Result, run::replay_file, screen, style};

const PROMPT: &str = "kvwatch> ";

/// Of a value, no more is shown.
const MOST_SHOWN: u64 = 4 * 1024;

/// Takes commands, until there are no more.
pub(crate) fn run(runner: &mut Runner, watch: Option<&Watch>) -> Result<()> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .color_mode(if screen::is_coloured() { ColorMode::Enabled } else { ColorMode::Disabled })
        .max_history_size(1000)?
        .history_ignore_dups(true)?
        .build();
    let mut editor: Editor<Helper, FileHistory> = Editor::with_config(config)?;
    let keys = Rc::new(RefCell::new(Vec::new()));
    editor.set_helper(Some(Helper::new(Rc::clone(&keys))));
    let history = history_file();
    if let Some(history) = &history {
        // There is none yet, the first time.
        let _ = editor.load_history(history);
    }
    if watch.is_some() {
        screen::set_prompt(editor.create_external_printer()?);
    }
    style::say(&format!(
        "{} watches a store that is empty; type {} to see what you can do",
        runner.watcher_name(),
        style::styled(STRONG, "help")
    ));
    loop {
        keys.replace(runner.store().iter().map(|(key, _)| key.clone()).collect());
        let line = match editor.readline(PROMPT) {
            Ok(line) => line,
            // It has cleared the line.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if let Some(watcher) = watch.and_then(Watch::ready) {
            runner.reload(watcher);
        }
        if line.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(line.trim())?;
        match line.parse() {
            Ok(Command::Quit) => break,
            Ok(command) => carry_out(command, runner)?,
            Err(error) => style::error(&error.to_string()),
        }
    }
    if let Some(history) = &history {
        // Whoever cannot keep it, does without.
        let _ = history.parent().map(fs::create_dir_all);
        let _ = editor.save_history(history);
    }
    Ok(())
}

fn carry_out(command: Command, runner: &mut Runner) -> Result<()> {
    match command {
        Command::Set(key, value) => apply(&Event::set(key, value), runner),
        Command::Delete(key) => {
            if runner.store().get(&key).is_none() {
                style::say(&style::styled(FAINT, "the store has no such key; the watcher is told all the same"));
            }
            apply(&Event::delete(key), runner)
        }
        Command::Event(event) => apply(&event, runner),
        Command::Get(key) => show(&key, runner),
        Command::List(prefix) => list(&prefix, runner),
        Command::Load(path) => {
            load(&path, runner);
            Ok(())
        }
        Command::Stats => {
            style::say(&runner.stats().headline());
            runner.stats().table().iter().for_each(|table| style::say(table));
            Ok(())
        }
        Command::Help => {
            style::say(HELP);
            Ok(())
        }
        Command::Quit => Ok(()),
    }
}

fn apply(event: &Event, runner: &mut Runner) -> Result<()> {
    let outcome = runner.apply(event)?;
    if outcome.is_handled() {
        let duration = outcome.duration.unwrap_or_default();
        style::say(&style::styled(FAINT, &format!("handled in {duration:.1?}")));
    }
    Ok(())
}

fn load(path: &Path, runner: &mut Runner) {
    let before = runner.stats().all();
    if let Err(error) = replay_file(runner, path) {
        style::error(&error.to_string());
        return;
    }
    let now = runner.stats().all();
    let events = plural(now.events - before.events, "event");
    let failed = match now.failed - before.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    style::say(&style::styled(FAINT, &format!("{events} of {}{failed}", path.display())));
}

fn show(key: &str, runner: &Runner) -> Result<()> {
    let Some(content) = runner.store().get(key) else {
        style::error(&format!("the store has no key {key:?}: `list` shows those that it has"));
        return Ok(());
    };
    style::print(&shown(&content.read(0, MOST_SHOWN)?))?;
    if content.len() > MOST_SHOWN {
        let message = format!("… the first {} of {}", ByteSize(MOST_SHOWN), ByteSize(content.len()));
        style::say(&style::styled(FAINT, &message));
    }
    Ok(())
}

/// Text as it is, but for what a terminal would take for its own; and bytes that are none with escapes.
fn shown(bytes: &[u8]) -> String {
    let text = match str::from_utf8(bytes) {
        Ok(text) => text,
        // The last character is cut off.
        Err(error) if error.error_len().is_none() => {
            return shown(&bytes[..error.valid_up_to()]);
        }
        Err(_) => return bytes.escape_ascii().to_string(),
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && !['\n', '\t'].contains(&c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn list(prefix: &str, runner: &Runner) -> Result<()> {
    let entries: Vec<_> = runner.store().iter().filter(|(key, _)| key.starts_with(prefix)).collect();
    let sizes: Vec<_> = entries.iter().map(|(_, content)| ByteSize(content.len()).to_string()).collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    for ((key, _), size) in entries.iter().zip(&sizes) {
        style::print(&format!("{size:>width$}  {}", shown(key.as_bytes()).replace('\n', "\\n")))?;
    }
    let of = if prefix.is_empty() { String::new() } else { format!(" that start with {prefix:?}") };
    style::say(&style::styled(FAINT, &format!("{}{of}", plural(entries.len() as u64, "key"))));
    Ok(())
}

/// Where what was typed is kept from one run to the next.
fn history_file() -> Option<PathBuf> {
    let folder = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".local/state")))?;
    Some(folder.join("kvwatch/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_values_that_a_terminal_can_bear() {
        assert_eq!(shown("Größe\n\tx".as_bytes()), "Größe\n\tx");
        assert_eq!(shown(b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(shown(b"\x89PNG\n"), "\\x89PNG\\n");
        assert_eq!(shown(&"aß".as_bytes()[..2]), "a");
    }
}
