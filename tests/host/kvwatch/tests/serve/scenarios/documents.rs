//! Tests the README: its commands, its options, its exit codes, the systemd unit and the container.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::access::{folder, handles};
use super::programs::logged;
use super::{LONG, pause, setup, tests};
use crate::nats_server::{PROGRAM, free_port};
use crate::program::{self, Program};
use crate::record::{Failure, tail};

tests!(
    readme_leads_from_nothing_to_a_watcher_in_five_commands,
    readme_has_every_exit_code_and_no_option_that_does_not_exist,
    systemd_unit_of_the_readme_starts_what_exists,
    container_of_the_readme_starts_and_has_what_it_names,
);

const README: &str = include_str!("../../../README.md");

/// The block of code of this language after this title.
fn block(title: &str, language: &str) -> Result<&'static str, Failure> {
    let section = README.split_once(title).ok_or_else(|| format!("the README has no {title:?}"))?.1;
    let code = section.split_once(&format!("```{language}\n")).ok_or("no block")?.1;
    Ok(code.split_once("```").ok_or("the block has no end")?.0)
}

/// A shell with its processes. They end when this value is dropped.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap_or(i32::MAX));
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

/// The commands of the README with another port. This program replaces the tool `nats`, which is not on every machine.
async fn readme_leads_from_nothing_to_a_watcher_in_five_commands() -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let port = free_port();
    let commands = block("These five commands", "console")?;
    if commands.lines().count() != 5 {
        return Err(format!("these are not five commands:\n{commands}").into());
    }
    let programs = folder.join("bin");
    std::fs::create_dir(&programs)?;
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kvwatch"), programs.join("kvwatch"))?;
    let server = format!(
        "exec '{}' -a 127.0.0.1 -p {port} -sd '{}' \"$@\" 2>/dev/null",
        PROGRAM.path()?.display(),
        folder.join("data").display()
    );
    let nats = format!("exec '{}' {} \"$@\"", std::env::current_exe()?.display(), crate::nats_tool::COMMAND);
    for (name, script) in [("nats-server", server), ("nats", nats)] {
        let path = programs.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    // The SDK is not published, and the new package gets the releases that this repository has.
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize()?;
    std::fs::create_dir(folder.join(".cargo"))?;
    std::fs::write(
        folder.join(".cargo/config.toml"),
        format!("[patch.crates-io]\ninbound-keyvalue.path = '{}'\n", repository.display()),
    )?;
    let lock = format!("cp '{}' audit/\n", repository.join("Cargo.lock").display());
    let mut script = String::new();
    for line in commands.lines() {
        script += &line.replace("4222", &port.to_string());
        script += "\n";
        if line.starts_with("kvwatch new") {
            script += &lock;
        }
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH")?);
    let log = std::fs::File::create(folder.join("log"))?;
    let shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &format!("{script}wait")])
        .current_dir(folder)
        .env("PATH", path)
        .env("NATS_URL", format!("nats://127.0.0.1:{port}"))
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("package"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()?;
    let _shell = Shell(shell);
    // This includes a build.
    let begun = Instant::now();
    let is_handled = |line: &str| line.contains("\"output\":") && line.contains("users/ada");
    while !std::fs::read_to_string(folder.join("log"))?.lines().any(is_handled) {
        if begun.elapsed() > LONG * 3 {
            return Err(tail(folder).into());
        }
        pause(200).await;
    }
    Ok(())
}

/// The numbers in these texts.
fn codes<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<u8> {
    texts.flat_map(|text| text.split(|c: char| !c.is_ascii_digit())).filter_map(|text| text.parse().ok()).collect()
}

async fn readme_has_every_exit_code_and_no_option_that_does_not_exist() -> Result<(), Failure> {
    let help = |arguments: &[&str]| -> Result<String, Failure> {
        let output = Command::new(env!("CARGO_BIN_EXE_kvwatch")).args(arguments).arg("--help").output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let serve = help(&["serve"])?;
    let listed = serve.split_once("Exit codes:").ok_or("no exit codes")?.1;
    let in_help = codes(listed.lines().filter_map(|line| line.trim_start().split("  ").next()));
    let table = README.split_once("### Exit codes").ok_or("no table")?.1.split("### ").next().unwrap_or_default();
    let in_readme = codes(table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()));
    if in_help != in_readme || in_help.len() < 6 {
        return Err(format!("the help has {in_help:?}, and the README {in_readme:?}").into());
    }
    let known = [serve, help(&["run"])?, help(&["check"])?].join("\n");
    // Options of cargo and of the tool `nats`.
    let of_others = ["--locked", "--root", "--history", "--from=build", "--chown"];
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    for (at, _) in README.match_indices("--") {
        let text = &README[at..];
        let name = &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())];
        let is_option = name.len() > 3 && !name.starts_with("---");
        if is_option && !known.contains(name) && !of_others.iter().any(|other| other.starts_with(name)) {
            return Err(format!("the README has {name}, which no help knows").into());
        }
    }
    Ok(())
}

/// The words of a command of systemd or of a container. Paths are replaced by paths that exist here.
fn here(word: &str, folder: &Path) -> String {
    match word {
        "/usr/local/bin/kvwatch" | "/kvwatch" => env!("CARGO_BIN_EXE_kvwatch").into(),
        "/etc/kvwatch.toml" | "/etc/kvwatch/kvwatch.toml" => folder.join("kvwatch.toml").display().to_string(),
        other => other.into(),
    }
}

/// A configuration with one watcher of this bucket.
fn configure(folder: &Path, from: &str) -> Result<(), Failure> {
    let watcher = folder.join("watcher.wasm").display().to_string();
    let letters = folder.join("audit.jsonl").display().to_string();
    std::fs::write(
        folder.join("kvwatch.toml"),
        format!(
            "[[watcher]]\nwatcher = \"{watcher}\"\nfrom = \"{from}\"\nname = \"audit\"\nwait = true\n\
             dead-letters = \"{letters}\"\n"
        ),
    )?;
    Ok(())
}

async fn systemd_unit_of_the_readme_starts_what_exists() -> Result<(), Failure> {
    let unit = block("### A systemd unit", "ini")?;
    let mut section = "";
    let mut fields = Vec::new();
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once('=') {
            None => section = line,
            Some((name, value)) => fields.push((section, name, value)),
        }
    }
    let field = |section: &str, name: &str| {
        let found = fields.iter().find(|it| it.0 == section && it.1 == name);
        found.map(|it| it.2).ok_or_else(|| format!("the unit has no {name} in {section}"))
    };
    let (server, context, _, _) = setup().await?;
    let folder = folder()?;
    let folder = folder.path();
    configure(folder, &format!("{}/b", server.url()))?;
    let words: Vec<String> = field("[Service]", "ExecStart")?.split(' ').map(|word| here(word, folder)).collect();
    let [program, serve, arguments @ ..] = &words[..] else { return Err(format!("{words:?}").into()) };
    if program != env!("CARGO_BIN_EXE_kvwatch") || serve != "serve" {
        return Err(format!("the unit starts {words:?}").into());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut running = Program::start_with(folder, &arguments, [])?;
    handles(folder, &context).await?;
    // systemd sends SIGTERM, and takes 0 for an orderly end.
    running.signal("-TERM")?;
    let code = running.end().await?;
    // A wrong option ends with the code that systemd does not restart.
    std::fs::write(folder.join("kvwatch.toml"), "workrs = 1\n")?;
    let wrong = Program::start_with(folder, &arguments, [])?.end().await?.to_string();
    let prevented = field("[Service]", "RestartPreventExitStatus")?;
    let stop: u64 = field("[Service]", "TimeoutStopSec")?.parse()?;
    if code != 0 || wrong != prevented || stop <= 10 || field("[Service]", "Restart")? != "always" {
        return Err(format!("exit codes {code} and {wrong}, {prevented} is not restarted, {stop} s to stop").into());
    }
    // The rest is checked if systemd is installed.
    let file = folder.join("kvwatch.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/kvwatch", env!("CARGO_BIN_EXE_kvwatch")))?;
    match Command::new("systemd-analyze").arg("verify").arg(&file).output() {
        Ok(output) if !output.status.success() => Err(String::from_utf8_lossy(&output.stderr).into()),
        _ => Ok(()),
    }
}

async fn container_of_the_readme_starts_and_has_what_it_names() -> Result<(), Failure> {
    let file = block("### A container", "dockerfile")?;
    let lines: Vec<(&str, &str)> = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').ok_or_else(|| format!("not an instruction: {line}")))
        .collect::<Result<_, _>>()?;
    let all = |name: &str| lines.iter().filter(|line| line.0 == name).map(|line| line.1).collect::<Vec<_>>();
    let [entry] = all("ENTRYPOINT")[..] else { return Err("there is not one ENTRYPOINT".into()) };
    let entry: Vec<String> = serde_json::from_str(entry)?;
    // The second stage copies what the first stage installs and makes.
    let runs = all("RUN").join("\n");
    let copies = all("COPY");
    let installed = "/out/bin/kvwatch";
    if !runs.contains("cargo install --locked --root /out kvwatch")
        || !copies.contains(&&*format!("--from=build {installed} {}", entry[0]))
        || !copies.contains(&"audit.wasm kvwatch.toml /etc/kvwatch/")
        || !entry.contains(&"/etc/kvwatch/kvwatch.toml".to_owned())
    {
        return Err(format!("the parts of the file do not fit together:\n{file}").into());
    }
    // A volume belongs to root, unless the image has its folder with another owner. The program does not run as root.
    let [volume] = all("VOLUME")[..] else { return Err("there is not one VOLUME".into()) };
    let owned = format!("--from=build --chown=nonroot:nonroot /out{volume} {volume}");
    if !all("FROM").last().is_some_and(|image| image.ends_with(":nonroot"))
        || !runs.contains(&format!("mkdir -p /out{volume}"))
        || !copies.contains(&&*owned)
    {
        return Err(format!("nobody but root can write to {volume}:\n{file}").into());
    }
    let (server, context, _, _) = setup().await?;
    let folder = folder()?;
    let folder = folder.path();
    configure(folder, &format!("{}/b", server.url()))?;
    let port = free_port().to_string();
    let words: Vec<String> = entry.iter().map(|word| here(word, folder).replace("9090", &port)).collect();
    let arguments: Vec<&str> = words[2..].iter().map(String::as_str).collect();
    if !all("EXPOSE").contains(&"9090") || entry[1] != "serve" {
        return Err(format!("{entry:?} and EXPOSE do not fit together").into());
    }
    let _running = Program::start_with(folder, &arguments, [])?;
    logged(folder, "\"message\":\"watching\"").await?;
    handles(folder, &context).await?;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let (status, _) = program::get(port.parse()?, path).await?;
        if !status.contains("200") {
            return Err(format!("{path}: {status}").into());
        }
    }
    Ok(())
}
