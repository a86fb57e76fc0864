//! Installs targets with rustup, which is the usual way.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::sysroot::Sysroot;
use crate::{Error, Target, names, process};

/// Lets rustup install `targets` into `sysroot`.
pub(crate) fn install(
    sysroot: &Sysroot,
    staging: &TempDir,
    targets: &[Target],
    progress: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let toolchain = toolchain(sysroot)?;
    let listed = process::run(&mut rustup(&["list", "--installed"], &toolchain, &[]), REMEDY)?;
    for &target in targets {
        if listed.lines().any(|line| line == target.as_str()) {
            progress(&format!("{target} has lost files; having rustup remove what is left of it"));
            sysroot.stand_in_for_lost_files(target)?;
            process::run(&mut rustup(&["remove"], &toolchain, &[target]), REMEDY)?;
        }
        // rustup refuses to overwrite a file that it did not install.
        sysroot.set_aside(target, staging.path())?;
    }
    progress(&format!("{} not installed; trying `rustup target add`", names(targets, ", ")));
    process::run(&mut rustup(&["add"], &toolchain, targets), REMEDY)?;
    let missing = sysroot.missing(targets);
    if missing.is_empty() {
        progress(&format!("rustup installed {}", names(targets, ", ")));
        return Ok(());
    }
    Err(Error::Incomplete { what: "what rustup has just installed".to_owned(), file: names(&missing, "`, `") })
}

const REMEDY: &str = "Is rustup's server within reach of this machine?";

fn rustup(action: &[&str], toolchain: &OsStr, targets: &[Target]) -> Command {
    let mut command = Command::new("rustup");
    command.arg("target").args(action).arg("--toolchain").arg(toolchain);
    command.args(targets.iter().map(|target| target.as_str()));
    // There is another way, so this one must fail soon.
    command.env("RUSTUP_MAX_RETRIES", "1");
    command
}

/// The name under which rustup knows `sysroot`. Variables such as `RUSTUP_TOOLCHAIN` have decided already which rustc was asked
/// for it.
fn toolchain(sysroot: &Sysroot) -> Result<OsString, Error> {
    let home = process::run(Command::new("rustup").args(["show", "home"]), "Is rustup installed?")?;
    name_within(sysroot.root(), &Path::new(home.trim()).join("toolchains"))
        .ok_or_else(|| Error::NotRustups { sysroot: sysroot.root().to_owned() })
}

fn name_within(sysroot: &Path, toolchains: &Path) -> Option<OsString> {
    let sysroot = fs::canonicalize(sysroot).ok()?;
    let toolchains = fs::canonicalize(toolchains).ok()?;
    (sysroot.parent()? == toolchains).then(|| sysroot.file_name().map(OsString::from)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_of_rustup_has_the_name_of_its_folder() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let toolchains = home.path().join("toolchains");
        let sysroot = toolchains.join("stable-x86_64-unknown-linux-gnu");
        fs::create_dir_all(&sysroot).expect("sysroot");
        assert_eq!(name_within(&sysroot, &toolchains), Some("stable-x86_64-unknown-linux-gnu".into()));
        assert_eq!(name_within(home.path(), &toolchains), None);
        assert_eq!(name_within(&toolchains.join("gone"), &toolchains), None);
    }

    #[test]
    fn the_toolchain_is_named_in_the_command() {
        let targets = [Target::Wasip1, Target::Wasip2];
        let command = rustup(&["add"], OsStr::new("stable"), &targets);
        assert_eq!(process::line(&command), "rustup target add --toolchain stable wasm32-wasip1 wasm32-wasip2");
    }
}
