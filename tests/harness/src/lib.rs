//! Runs tests whose tools may be missing. Such a test is reported as `ignored`, with the reason; it never passes without
//! running. With `--include-ignored` it fails instead, which is how CI makes sure that every test ran.
//!
//! A test binary that uses this has `harness = false` in its manifest, and this `main`:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! fn any_machine() {}
//! fn needs_a_tool() {}
//!
//! fn main() -> ExitCode {
//!     harness::run([harness::test!(any_machine), harness::test!(needs_a_tool).needs(harness::cargo_component)])
//! }
//! ```

mod folder;
mod server;

use std::env;
use std::process::{Command, ExitCode};

pub use folder::copy_folder;
pub use server::{Server, free_port};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The version of Rust whose texts and figures are the expected ones. CI tests with this version.
pub const PINNED_RUST: &str = "1.95";

/// The need of a test. An error is the reason why the test cannot run here.
pub type Need = fn() -> Result<(), String>;

/// A test and its need.
pub struct Test {
    name: &'static str,
    body: Box<dyn FnOnce() -> Result<(), Failed> + Send>,
    needs: Option<Need>,
    must_run: bool,
}

/// The test that is a function of this name.
#[macro_export]
macro_rules! test {
    ($body:ident) => {
        $crate::Test::new(stringify!($body), $body)
    };
}

impl Test {
    /// A test that runs everywhere. It fails when `body` panics. [`test!`] calls this.
    #[must_use]
    pub fn new(name: &'static str, body: fn()) -> Self {
        Self::fallible(name, move || {
            body();
            Ok(())
        })
    }

    /// A test that runs everywhere. It fails when `body` panics or returns an error.
    pub fn fallible(name: &'static str, body: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Self {
        Self { name, body: Box::new(body), needs: None, must_run: false }
    }

    /// The same test with a need. It runs only if `need` returns `Ok`.
    #[must_use]
    pub fn needs(self, need: Need) -> Self {
        Self { needs: Some(need), ..self }
    }

    /// The same test. If `must_run` is true, the test fails if its need is not met.
    #[must_use]
    pub fn must_run(self, must_run: bool) -> Self {
        Self { must_run, ..self }
    }

    fn completion(self, all_must_run: bool) -> Result<Completion, Failed> {
        match self.needs.map_or(Ok(()), |need| need()) {
            Ok(()) => (self.body)().map(|()| Completion::Completed),
            Err(reason) if self.must_run || all_must_run => Err(reason.into()),
            Err(reason) => Ok(Completion::ignored_with(reason)),
        }
    }
}

/// Runs the tests that the command line selects, as `cargo test` passes it on. For `main`.
pub fn run(tests: impl IntoIterator<Item = Test>) -> ExitCode {
    run_with(&Arguments::from_args(), tests)
}

/// The same for tests that mostly wait: `threads` tests run at the same time, unless the command line has another number.
pub fn run_at_once(threads: usize, tests: impl IntoIterator<Item = Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    run_with(&arguments, tests)
}

fn run_with(arguments: &Arguments, tests: impl IntoIterator<Item = Test>) -> ExitCode {
    let must_run = arguments.include_ignored;
    let trials = tests.into_iter().map(|test| Trial::ignorable_test(test.name, move || test.completion(must_run)));
    libtest_mimic::run(arguments, trials.collect()).exit_code()
}

/// Needs the version of Rust that texts and figures were taken from.
///
/// # Errors
///
/// When `rustc` has another version.
pub fn pinned_rust() -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = stdout(Command::new(rustc).arg("--version"))?;
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    if version.strip_prefix(PINNED_RUST).is_some_and(|patch| patch.starts_with('.')) && !version.contains('-') {
        return Ok(());
    }
    Err(format!("it expects what Rust {PINNED_RUST} does, and this is Rust {version}"))
}

/// Needs `cargo component`.
///
/// # Errors
///
/// If it is not installed.
pub fn cargo_component() -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    stdout(Command::new(cargo).args(["component", "--version"])).map(drop).map_err(|_| {
        "it needs cargo-component, which `cargo install cargo-component --version 0.21.1` installs in some minutes"
            .into()
    })
}

/// Needs Node and npm.
///
/// # Errors
///
/// When one of them is not installed.
pub fn node() -> Result<(), String> {
    for tool in ["node", "npm"] {
        stdout(Command::new(tool).arg("--version"))
            .map_err(|_| format!("it needs {tool}: install Node 20 or newer, and npm"))?;
    }
    Ok(())
}

/// The output of a command. An error if it fails or cannot be started.
fn stdout(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed ({})", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
