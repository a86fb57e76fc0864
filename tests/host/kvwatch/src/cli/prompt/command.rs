use std::env;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use kvwatch::world::Event;
use shlex::Shlex;

/// A command of the prompt.
#[derive(Debug)]
pub(crate) enum Command {
    Set(String, String),
    SetFile(String, PathBuf),
    Delete(String),
    Event(Event),
    Again,
    Request(Request),
    Quit,
}

/// A command that is not an event.
#[derive(Debug)]
pub(crate) enum Request {
    /// A key and its bucket. Without a bucket, the watched bucket is meant.
    Get(String, Option<String>),
    /// The keys of a bucket that start with a prefix.
    Keys(String, Option<String>),
    Load(PathBuf),
    Fresh,
    Stats,
    Help,
}

/// The names of the commands, with their arguments.
pub(crate) const COMMANDS: [(&str, &str); 10] = [
    ("set", "KEY VALUE|@FILE"),
    ("delete", "KEY"),
    ("get", "KEY [BUCKET]"),
    ("keys", "[PREFIX [BUCKET]]"),
    ("load", "FILE"),
    ("again", ""),
    ("fresh", ""),
    ("stats", ""),
    ("help", ""),
    ("quit", ""),
];

pub(crate) const HELP: &str = "\
set KEY VALUE|@FILE
                 set a key to text or to the content of a file, and tell
                 the watcher; quote text that starts with @, as '@text'
delete KEY       delete a key, and tell the watcher
get KEY [BUCKET] show the value of a key; without a bucket, the key is in the
                 watched bucket
keys [PREFIX [BUCKET]]
                 show the keys and the sizes of their values
load FILE        give the watcher the events of a file
again            give the watcher the last event once more
fresh            drop the instance; the next event goes to a new one
stats            show the number of events, and their time and memory
help             show this
quit             end the prompt, like exit and Ctrl-D

Quote text with spaces as in a shell. Text that starts with { or [ needs no
quotes. You can also type or paste an event in the format of a file:

  set users/ada 'Ada Lovelace'
  set users/ada {\"name\": \"Ada\"}
  {\"op\":\"delete\",\"key\":\"users/ada\"}

Tab completes commands, keys and files. The arrow keys bring back earlier
lines.";

/// The fault in a line, and how to correct it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadCommand {
    #[error("there is no command `{0}`{hint}", hint = suggestion(.0))]
    Unknown(String),
    #[error("a quote is not closed: quote with '…' or \"…\", and a quote itself with a backslash before it")]
    OpenQuote,
    #[error("`{name}` needs more arguments: {name} {usage}{hint}", hint = comment_hint(*.has_hash))]
    TooFew { name: &'static str, usage: &'static str, has_hash: bool },
    #[error("`{name}` has too many arguments: {name} {usage}; quote text with spaces, as 'Ada Lovelace'")]
    TooMany { name: &'static str, usage: &'static str },
    #[error("`{0}` takes no arguments")]
    Alone(&'static str),
    #[error("{0}")]
    Event(String),
}

fn suggestion(name: &str) -> String {
    match closest(name) {
        Some(known) => format!(": did you mean `{known}`?"),
        None => ": `help` lists the commands".to_owned(),
    }
}

fn comment_hint(has_hash: bool) -> &'static str {
    if has_hash { "; quote text that starts with #, as '#1'" } else { "" }
}

fn closest(name: &str) -> Option<&'static str> {
    const OTHER_WORDS: [(&str, &str); 9] = [
        ("put", "set"),
        ("del", "delete"),
        ("rm", "delete"),
        ("remove", "delete"),
        ("ls", "keys"),
        ("replay", "load"),
        ("read", "load"),
        ("show", "get"),
        ("cat", "get"),
    ];
    if let Some((_, known)) = OTHER_WORDS.iter().find(|(word, _)| *word == name) {
        return Some(known);
    }
    let likeness = |known: &str| strsim::jaro_winkler(&name.to_lowercase(), known);
    let (known, _) = COMMANDS.iter().max_by(|(one, _), (other, _)| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(known) > 0.75).then_some(known)
}

impl FromStr for Command {
    type Err = BadCommand;

    fn from_str(line: &str) -> Result<Self, BadCommand> {
        let line = line.trim();
        if line.starts_with('{') {
            return Event::parse_in(line, Path::new(""))
                .map(Self::Event)
                .map_err(|error| BadCommand::Event(error.to_string()));
        }
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let name = match name {
            "exit" => "quit",
            "?" => "help",
            "list" => "keys",
            name => name,
        };
        let Some(&(name, usage)) = COMMANDS.iter().find(|(known, _)| *known == name) else {
            return Err(BadCommand::Unknown(name.to_owned()));
        };
        let mut words = words(rest)?.into_iter();
        let too_few = BadCommand::TooFew { name, usage, has_hash: rest.contains('#') };
        let mut word = || words.next().ok_or(too_few.clone());
        let command = match name {
            "set" => {
                let (key, value) = (word()?, word()?);
                match value.strip_prefix('@') {
                    Some(file) if raw_value(rest).starts_with('@') => Self::SetFile(key, path(file)),
                    _ => Self::Set(key, value),
                }
            }
            "delete" => Self::Delete(word()?),
            "get" => Self::Request(Request::Get(word()?, word().ok())),
            "keys" => Self::Request(Request::Keys(word().unwrap_or_default(), word().ok())),
            "load" => Self::Request(Request::Load(path(&word()?))),
            "again" => Self::Again,
            "fresh" => Self::Request(Request::Fresh),
            "stats" => Self::Request(Request::Stats),
            "help" => Self::Request(Request::Help),
            _ => Self::Quit,
        };
        match words.next() {
            None => Ok(command),
            Some(_) if usage.is_empty() => Err(BadCommand::Alone(name)),
            Some(_) => Err(BadCommand::TooMany { name, usage }),
        }
    }
}

/// A path as in a shell: `~` is the home folder.
fn path(text: &str) -> PathBuf {
    let home = text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
    match (home, env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
        _ => text.into(),
    }
}

/// The text after the first word, with its quotes.
fn raw_value(text: &str) -> &str {
    let text = text.trim();
    let (mut quote, mut is_escaped) = (None, false);
    for (at, character) in text.char_indices() {
        match (quote, character) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, _) if character.is_whitespace() => return text[at..].trim_start(),
            _ => {}
        }
    }
    ""
}

/// Splits a line into words as a shell does. A word that starts with a brace or a bracket is JSON, and goes to the end of the line.
fn words(text: &str) -> Result<Vec<String>, BadCommand> {
    let text = text.trim();
    let json = raw_value(text);
    if json.starts_with(['{', '['])
        && let Some(key) = Shlex::new(&text[..text.len() - json.len()]).next()
    {
        return Ok(vec![key, json.to_owned()]);
    }
    let mut words = Shlex::new(text);
    let all = words.by_ref().collect();
    if words.had_error { Err(BadCommand::OpenQuote) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_has_every_command_and_fits_a_terminal() {
        for (name, usage) in COMMANDS {
            let starts = format!("{name} {usage}");
            assert!(HELP.lines().any(|line| line.starts_with(starts.trim_end())), "{starts}");
        }
        assert!(HELP.lines().all(|line| line.len() < 80));
    }

    /// The command as `Debug` shows it, or the message about it.
    fn parsed(line: &str) -> String {
        match line.parse() {
            Ok(Command::Request(request)) => format!("{request:?}"),
            Ok(command) => format!("{command:?}"),
            Err(error) => BadCommand::to_string(&error),
        }
    }

    #[test]
    fn reads_every_command() {
        for (line, command) in [
            ("set users/ada hello", r#"Set("users/ada", "hello")"#),
            ("  set  users/ada   hello ", r#"Set("users/ada", "hello")"#),
            ("delete users/ada", r#"Delete("users/ada")"#),
            ("get users/ada", r#"Get("users/ada", None)"#),
            ("get oslo totals", r#"Get("oslo", Some("totals"))"#),
            ("keys", r#"Keys("", None)"#),
            ("list", r#"Keys("", None)"#),
            ("keys users/", r#"Keys("users/", None)"#),
            ("keys '' totals", r#"Keys("", Some("totals"))"#),
            ("load events.jsonl", r#"Load("events.jsonl")"#),
            ("set a @b.png", r#"SetFile("a", "b.png")"#),
            (r"set 'a b' @'my file.png'", r#"SetFile("a b", "my file.png")"#),
            (r"set a @my\ file.png", r#"SetFile("a", "my file.png")"#),
            ("set a '@b'", r#"Set("a", "@b")"#),
            ("set 'a @' '@b'", r#"Set("a @", "@b")"#),
            (r"load my\ events.jsonl", r#"Load("my events.jsonl")"#),
            ("again", "Again"),
            ("fresh", "Fresh"),
            ("stats", "Stats"),
            ("help", "Help"),
            ("?", "Help"),
            ("quit", "Quit"),
            ("exit", "Quit"),
        ] {
            assert_eq!(parsed(line), command);
        }
    }

    #[test]
    fn reads_quotes_as_a_shell_does() {
        for (line, command) in [
            ("set 'a key' \"a 'value'\"", r#"Set("a key", "a 'value'")"#),
            ("set a ''", r#"Set("a", "")"#),
            (r"set a two\ words", r#"Set("a", "two words")"#),
            ("set a '#1'", r##"Set("a", "#1")"##),
            ("set ключ 'зна чение'", r#"Set("ключ", "зна чение")"#),
        ] {
            assert_eq!(parsed(line), command);
        }
    }

    #[test]
    fn takes_json_as_it_stands() {
        for (line, command) in [
            (r#"set a {"name": "Ada"}"#, r#"Set("a", "{\"name\": \"Ada\"}")"#),
            (r#"set a  ["it's", 1]"#, r#"Set("a", "[\"it's\", 1]")"#),
            (r#"set 'a b' {"x":2}"#, r#"Set("a b", "{\"x\":2}")"#),
            (r#"set "a b"  {"x": 2}"#, r#"Set("a b", "{\"x\": 2}")"#),
            (r#"set 'c' ["q"]"#, r#"Set("c", "[\"q\"]")"#),
            (r#"set a\ b {"it's": 2}"#, r#"Set("a b", "{\"it's\": 2}")"#),
            (r#"set 'a b' '{"a":1}'"#, r#"Set("a b", "{\"a\":1}")"#),
        ] {
            assert_eq!(parsed(line), command);
        }
    }

    #[test]
    fn takes_events_as_files_have_them() {
        assert!(parsed(r#"{"op":"delete","key":"users/ada"}"#).starts_with(r#"Event(Event { key: "users/ada""#));
        assert!(
            parsed(r#"{"op":"delete"}"#).starts_with("column 15: the field \"key\" is missing; an event is like {")
        );
    }

    #[test]
    fn a_mistyped_command_gets_advice() {
        for (line, advice) in [
            ("sett a b", "there is no command `sett`: did you mean `set`?"),
            ("rm a", "there is no command `rm`: did you mean `delete`?"),
            ("DELETE a", "there is no command `DELETE`: did you mean `delete`?"),
            ("xyzzy", "there is no command `xyzzy`: `help` lists the commands"),
            ("set", "`set` needs more arguments: set KEY VALUE|@FILE"),
            ("set a", "`set` needs more arguments: set KEY VALUE|@FILE"),
            ("set a #1", "`set` needs more arguments: set KEY VALUE|@FILE; quote text that starts with #, as '#1'"),
            (
                "set a Ada Lovelace",
                "`set` has too many arguments: set KEY VALUE|@FILE; quote text with spaces, as 'Ada Lovelace'",
            ),
            ("stats all", "`stats` takes no arguments"),
        ] {
            assert_eq!(parsed(line), advice);
        }
        assert!(parsed("set a 'b").starts_with("a quote is not closed"));
    }
}
