use std::cell::RefCell;
use std::env;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use kvwatch::sources::{Delivery, Item, Source};
use kvwatch::world::{Content, Event};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Behavior, ColorMode, CompletionType, Config, Editor};

use super::command::{Command, Request};
use super::helper::Helper;
use super::pasted::Pasted;
use crate::cli::stats::plural;
use crate::cli::style::FAINT;
use crate::cli::{Result, screen, style};

const PROMPT: &str = "kvwatch> ";

/// The source of the lines that the user types at a terminal.
pub(super) struct Typed {
    editor: Editor<Helper, FileHistory>,
    /// The file that keeps the typed lines for the next run.
    history: Option<PathBuf>,
    /// The keys that the editor completes.
    keys: Rc<RefCell<Vec<String>>>,
    pasted: Pasted,
    /// The last event, for `again`.
    last: Option<Event>,
    result: Result<()>,
}

impl Typed {
    /// Opens the terminal. With `prints_meanwhile`, other threads print while the user types.
    pub(super) fn new(prints_meanwhile: bool) -> Result<Self> {
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
        if prints_meanwhile {
            screen::set_prompt(editor.create_external_printer()?);
        }
        Ok(Self { editor, history, keys, pasted: Pasted::default(), last: None, result: Ok(()) })
    }

    /// Whether the next item waits for the user.
    pub(super) fn waits_for_user(&self) -> bool {
        self.pasted.is_empty()
    }

    /// Completes these keys. They must be in their order.
    pub(super) fn complete_keys(&self, keys: Vec<String>) {
        self.keys.replace(keys);
    }

    /// Drops the pasted lines that have not run, because they may depend on a line that was refused.
    pub(super) fn drop_pasted_lines(&mut self) {
        let left = self.pasted.clear() as u64;
        if left > 0 {
            style::say(&style::styled(FAINT, &format!("{} after it did not run", plural(left, "line"))));
        }
    }

    /// Whether the input ended as the user wanted.
    pub(super) fn result(&mut self) -> Result<()> {
        mem::replace(&mut self.result, Ok(()))
    }

    /// Waits for the next line that is not empty. `None` if the input has ended.
    fn next_line(&mut self) -> Result<Option<String>> {
        let line = loop {
            if let Some(line) = self.pasted.next_line() {
                break line;
            }
            match self.editor.readline(PROMPT) {
                Ok(text) => self.pasted.add(&text),
                // The editor has cleared the line.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
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
        };
        self.editor.add_history_entry(&line)?;
        if let Some(history) = &self.history {
            // Another prompt may write the same file, so only this line is added. The prompt also works without a history.
            let _ = history.parent().map(fs::create_dir_all);
            let _ = self.editor.append_history(history);
        }
        Ok(Some(line))
    }

    /// The item that a line stands for, or the reason why the line is refused.
    fn item(&mut self, line: &str) -> Result<Item<Request>> {
        let event = match line.parse()? {
            Command::Set(key, value) => Event::set(key, value),
            Command::SetFile(key, path) => match value_of(&path) {
                Ok(bytes) => Event::set(key, Content::from(bytes)),
                Err(error) => {
                    return Err(format!("cannot read the value from the file {}: {error}", path.display()).into());
                }
            },
            Command::Delete(key) => Event::delete(key),
            Command::Event(event) => event,
            Command::Again => self.last.clone().ok_or("there was no event yet: make one with `set KEY VALUE`")?,
            Command::Request(request) => return Ok(Item::Request(request)),
            Command::Quit => return Ok(Item::End),
        };
        self.last = Some(event.clone());
        Ok(Item::Event(Delivery::new(event)))
    }
}

impl Source for Typed {
    type Request = Request;

    fn name(&self) -> &'static str {
        "the prompt"
    }

    fn next(&mut self) -> Item<Request> {
        match self.next_line() {
            Ok(Some(line)) => self.item(&line).unwrap_or_else(|refusal| Item::Warning(refusal.to_string())),
            Ok(None) => Item::End,
            Err(error) => {
                self.result = Err(error);
                Item::End
            }
        }
    }
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

/// The file that keeps the typed lines for the next run.
fn history_file() -> Option<PathBuf> {
    let folder = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = folder.or_else(|| Some(env::home_dir()?.join(".local/state")))?;
    Some(folder.join("kvwatch/history"))
}
