//! Draws `docs/run.svg`, the README's picture of a run, from the output of `kvwatch`.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs};

use anstyle_svg::Term;
use anyhow::{Context as _, Result, ensure};

/// The command line that the picture shows.
const COMMAND: &str = "kvwatch run examples/audit-log examples/audit-log/events.jsonl";

fn main() -> Result<()> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    // The first run compiles the dependencies of the watcher. The picture must not show this.
    run(&repository)?;
    let output = run(&repository)?;
    let picture = repository.join("docs/run.svg");
    fs::create_dir_all(repository.join("docs"))?;
    fs::write(&picture, Term::new().render_svg(&format!("$ {COMMAND}\n{output}")))
        .with_context(|| format!("cannot write {}", picture.display()))?;
    println!("wrote docs/run.svg");
    Ok(())
}

/// Runs the command, and returns the text that a terminal would show.
fn run(repository: &Path) -> Result<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // One pipe for both streams keeps the order in which a terminal would show them.
    let (mut reader, writer) = io::pipe()?;
    let mut child = Command::new(cargo)
        .args(["run", "--quiet", "-p"])
        .args(COMMAND.replacen("kvwatch ", "kvwatch -- ", 1).split(' '))
        .current_dir(repository)
        .env("CLICOLOR_FORCE", "1")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .context("cannot start cargo to run kvwatch")?;
    let mut output = String::new();
    reader.read_to_string(&mut output)?;
    let status = child.wait()?;
    // The picture may show an event that fails. It must not show a watcher that cannot run.
    ensure!(matches!(status.code(), Some(0 | 1)), "`{COMMAND}` ended with {status}:\n{output}");
    Ok(output)
}
