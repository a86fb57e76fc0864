//! Node, with jco and the host of the folder `node` in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use crate::component::scratch;

/// A folder that has jco installed in it, and the host's files.
pub(crate) struct Node(PathBuf);

/// The report of `run.mjs` about an event.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    /// The message of the trap, if the event trapped.
    pub(crate) trap: Option<String>,
    /// The content of each value in base64, in the order in which the values were made.
    values: Vec<String>,
    /// The bucket, the key and the content (in base64) of each change of the store by the guest. A deleted key has no content.
    changes: Vec<(String, String, Option<String>)>,
    pub(crate) violations: Vec<String>,
    pub(crate) calls: u64,
}

const LOCK: &str = "package-lock.json";
const FILES: [&str; 8] =
    [".npmrc", "package.json", LOCK, "host.mjs", "host.test.mjs", "reenter.mjs", "run.mjs", "store.mjs"];

impl Node {
    /// Node, with jco installed by the first test that asks for it.
    pub(crate) fn get() -> &'static Self {
        static NODE: OnceLock<Node> = OnceLock::new();
        NODE.get_or_init(Self::set_up)
    }

    fn set_up() -> Self {
        let folder = scratch().join("node");
        fs::create_dir_all(&folder).unwrap();
        for file in FILES {
            fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("node").join(file), folder.join(file)).unwrap();
        }
        // This file is written when npm has finished, so that an interrupted installation is done again.
        let installed = folder.join("installed");
        let lock = fs::read(folder.join(LOCK)).unwrap();
        if fs::read(&installed).ok().as_ref() != Some(&lock) {
            crate::say("installing jco, once");
            // `npm ci` refuses the lock, because one optional dependency was not published for every machine.
            output(Command::new("npm").args(["install", "--loglevel=error"]).current_dir(&folder));
            fs::write(installed, lock).unwrap();
        }
        Self(folder)
    }

    /// Runs a component with the events of a file. If a refusal is given, the host refuses every call that it can refuse.
    pub(crate) fn run(&self, component: &Path, events: &Path, refusal: Option<&str>) -> Vec<Outcome> {
        crate::say(&format!("running {}", component.display()));
        let mut command = self.node();
        command.arg("run.mjs").args([component, events]).args(refusal);
        output(&mut command).lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// How an event of a core module ends, and how it ends if the host enters the instance again during the event.
    pub(crate) fn reenter(&self, module: &Path) -> String {
        output(self.node().arg("reenter.mjs").arg(module))
    }

    /// Runs the tests of the host itself.
    pub(crate) fn run_tests(&self) {
        output(self.node().args(["--test", "host.test.mjs"]));
    }

    fn node(&self) -> Command {
        let mut command = Command::new("node");
        command.current_dir(&self.0);
        command
    }
}

/// Runs a command that must not fail, and returns its output.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?} failed ({}):\n{out}{err}", output.status);
    out
}

impl Outcome {
    /// The content of each value.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        self.values.iter().map(|value| BASE64.decode(value).unwrap()).collect()
    }

    /// The bucket, the key and the content of each change of the store by the guest. A deleted key has no content.
    pub(crate) fn changes(self) -> Vec<(String, String, Option<Vec<u8>>)> {
        let decoded = |content: Option<String>| content.map(|content| BASE64.decode(content).unwrap());
        self.changes.into_iter().map(|(bucket, key, content)| (bucket, key, decoded(content))).collect()
    }

    /// The test guest's report about an event that it has finished.
    pub(crate) fn report(&self) -> Option<String> {
        self.trap.is_none().then(|| Self::report_in(&self.values())).flatten()
    }

    /// The test guest's report, which is the last value that it makes.
    pub(crate) fn report_in(values: &[Vec<u8>]) -> Option<String> {
        values.last().map(|report| String::from_utf8_lossy(report).into_owned())
    }
}
