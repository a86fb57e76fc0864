use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Result};

use super::command::COMMANDS;
use crate::cli::style::{FAINT, STRONG, styled};

/// Completions and hints for the line that the user types.
pub(crate) struct Helper {
    keys: Rc<RefCell<Vec<String>>>,
    files: FilenameCompleter,
}

impl Helper {
    /// `keys` are the keys of the store in their order.
    pub(crate) fn new(keys: Rc<RefCell<Vec<String>>>) -> Self {
        Self { keys, files: FilenameCompleter::new() }
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, context: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let typed = &line[..pos];
        let start = typed.len() - typed.trim_start().len();
        let Some(space) = typed[start..].find(char::is_whitespace) else {
            return Ok((start, commands(&typed[start..])));
        };
        let argument = start + space + typed[start + space..].len() - typed[start + space..].trim_start().len();
        match &typed[start..start + space] {
            "load" => self.files.complete(line, pos, context),
            "set" if typed[argument..].contains(" @") => self.files.complete(line, pos, context),
            "set" | "delete" | "get" | "keys" | "list" => Ok((argument, keys(&self.keys.borrow(), &typed[argument..]))),
            _ => Ok((pos, Vec::new())),
        }
    }
}

fn commands(typed: &str) -> Vec<Pair> {
    let known = COMMANDS.iter().filter(|(name, _)| name.starts_with(typed));
    known
        .map(|(name, usage)| {
            let space = if usage.is_empty() { "" } else { " " };
            Pair { display: (*name).to_owned(), replacement: format!("{name}{space}") }
        })
        .collect()
}

/// The keys that start with the typed text. The text may begin with a quote.
fn keys(keys: &[String], typed: &str) -> Vec<Pair> {
    let typed = typed.trim_start_matches(['\'', '"']);
    let from = keys.partition_point(|key| key.as_str() < typed);
    let known = keys[from..].iter().take_while(|key| key.starts_with(typed));
    known
        .filter_map(|key| {
            let replacement = shlex::try_quote(key).ok()?.into_owned();
            Some(Pair { display: key.clone(), replacement })
        })
        .collect()
}

impl Hinter for Helper {
    type Hint = String;

    /// Shows the arguments of a command after its name.
    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<String> {
        let name = line.strip_suffix(' ').filter(|_| pos == line.len())?;
        let (_, usage) = COMMANDS.iter().find(|(known, usage)| *known == name && !usage.is_empty())?;
        Some((*usage).to_owned())
    }
}

impl Highlighter for Helper {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        styled(STRONG, prompt).into()
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        styled(FAINT, hint).into()
    }
}

impl Validator for Helper {}

impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use rustyline::history::DefaultHistory;

    use super::*;

    fn completed(line: &str) -> (usize, Vec<String>) {
        let keys = ["sales/a b", "users/ada", "users/bob"].map(str::to_owned).to_vec();
        let helper = Helper::new(Rc::new(RefCell::new(keys)));
        let history = DefaultHistory::new();
        let (start, pairs) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn completes_commands() {
        assert_eq!(completed("s"), (0, vec!["set ".to_owned(), "stats".to_owned()]));
        assert_eq!(completed(" qu"), (1, vec!["quit".to_owned()]));
        assert_eq!(completed("x"), (0, vec![]));
    }

    #[test]
    fn completes_keys() {
        assert_eq!(completed("get users/"), (4, vec!["users/ada".to_owned(), "users/bob".to_owned()]));
        assert_eq!(completed("keys users/a"), (5, vec!["users/ada".to_owned()]));
        assert_eq!(completed("delete  's"), (8, vec!["'sales/a b'".to_owned()]));
        assert_eq!(completed("set users/ada v"), (4, vec![]));
        assert_eq!(completed("stats u"), (7, vec![]));
    }

    #[test]
    fn hints_at_the_arguments_of_a_command() {
        let helper = Helper::new(Rc::default());
        let history = DefaultHistory::new();
        let hint = |line: &str| helper.hint(line, line.len(), &Context::new(&history));
        assert_eq!(hint("set ").as_deref(), Some("KEY VALUE|@FILE"));
        assert_eq!((hint("set"), hint("set a"), hint("quit ")), (None, None, None));
    }
}
