use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Result};

const EXAMPLES: &str = r#"Examples:
  kvwatch completions bash > ~/.local/share/bash-completion/completions/kvwatch
  kvwatch completions zsh > "${fpath[1]}/_kvwatch"
  kvwatch completions fish > ~/.config/fish/completions/kvwatch.fish"#;

/// Write a script with which a shell completes the arguments of kvwatch
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        // The script is made in memory first, because the generator panics if it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kvwatch", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
