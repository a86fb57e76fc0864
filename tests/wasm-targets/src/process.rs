//! Runs programs.

use std::io;
use std::process::{Command, Output, Stdio};

use crate::Error;

/// The number of a program's last lines that an error repeats.
const TAIL: usize = 15;

/// Runs `command` to its end and returns what it wrote to its standard output.
pub(crate) fn run(command: &mut Command, remedy: &'static str) -> Result<String, Error> {
    // A backtrace would use all of the last lines of an error.
    command.env("RUST_BACKTRACE", "0");
    let output = command.stdin(Stdio::null()).output().map_err(not_started(command, remedy))?;
    check(command, &output, remedy)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `first` and `second` together. `second` reads the output of `first`.
pub(crate) fn pipe(first: &mut Command, second: &mut Command, remedy: &'static str) -> Result<(), Error> {
    first.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = first.spawn().map_err(not_started(first, remedy))?;
    let between = running.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let fed = second.stdin(between).output().map_err(not_started(second, remedy));
    // The command still holds the end of the pipe. Without this, `first` never ends if nobody reads its output.
    second.stdin(Stdio::null());
    let feeding = running.wait_with_output().map_err(not_started(first, remedy))?;
    check(second, &fed?, remedy)?;
    check(first, &feeding, remedy)
}

fn not_started(command: &Command, remedy: &'static str) -> impl FnOnce(io::Error) -> Error {
    let command = line(command);
    move |source| Error::Start { command, source, remedy }
}

fn check(command: &Command, output: &Output, remedy: &'static str) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    Err(Error::Failed {
        command: line(command),
        status: output.status.to_string(),
        said: tail(if err.trim().is_empty() { &out } else { &err }),
        remedy,
    })
}

/// The command approximately as a person would type it, for messages.
pub(crate) fn line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_that_say_something() {
        let lines: Vec<_> = (0..40).map(|n| format!("line {n}")).collect();
        let text = lines.join("\n\n");
        let tail = tail(&text);
        assert!(tail.starts_with("line 25\n"), "{tail}");
        assert!(tail.ends_with("line 39"), "{tail}");
        assert_eq!(super::tail(""), "");
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_remedy() {
        let message = run(Command::new("no-such-program-here").arg("--flag"), "install it").map_err(|e| e.to_string());
        let message = message.expect_err("it cannot have run");
        assert!(message.starts_with("`no-such-program-here --flag` could not be started"), "{message}");
        assert!(message.ends_with("install it"), "{message}");
    }

    #[test]
    #[cfg(unix)]
    fn a_failing_program_is_quoted() {
        let error = run(Command::new("sh").args(["-c", "echo out; echo why >&2; exit 3"]), "try again");
        let message = error.map_err(|e| e.to_string()).expect_err("it failed");
        assert!(message.ends_with("(exit status: 3):\nwhy\ntry again"), "{message}");
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_fails_with_either_end() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let run = |first: &str, second: &str| {
            pipe(&mut shell(first), &mut shell(second), "try again").map_err(|e| e.to_string())
        };
        assert_eq!(run("echo text", "read line && [ \"$line\" = text ]"), Ok(()));
        assert!(run("echo broken >&2; exit 4", "cat").is_err_and(|e| e.contains("4):\nbroken")));
        assert!(run("yes", "echo full >&2; exit 5").is_err_and(|e| e.contains("5):\nfull")));
    }
}
