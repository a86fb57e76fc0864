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

/// What `run.mjs` says of an event.
#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    /// What the trap says, if the event trapped.
    pub(crate) trap: Option<String>,
    /// In base64, what was written to each value, in the order of their making.
    values: Vec<String>,
    /// The bucket, the key and, unless it was deleted, the content in base64, of each change of the store by the guest.
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
        // Written once npm is through, so that what it broke off is done again.
        let installed = folder.join("installed");
        let lock = fs::read(folder.join(LOCK)).unwrap();
        if fs::read(&installed).ok().as_ref() != Some(&lock) {
            crate::say("installing jco, once");
            // `npm ci` refuses the lock, since of one optional dependency not every machine's variant was published.
            output(Command::new("npm").args(["install", "--loglevel=error"]).current_dir(&folder));
            fs::write(installed, lock).unwrap();
        }
        Self(folder)
    }

    /// Runs a component with the events of a file, on the host that refuses what it can refuse, if a refusal is given.
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

/// Runs a command that must not fail, and gives what it says.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"));
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?} failed ({}):\n{out}{err}", output.status);
    out
}

impl Outcome {
    /// What was written to each value.
    pub(crate) fn values(&self) -> Vec<Vec<u8>> {
        self.values.iter().map(|value| BASE64.decode(value).unwrap()).collect()
    }

    /// The bucket, the key and the content of each change of the store by the guest. A deleted key has no content.
    pub(crate) fn changes(self) -> Vec<(String, String, Option<Vec<u8>>)> {
        let decoded = |content: Option<String>| content.map(|content| BASE64.decode(content).unwrap());
        self.changes.into_iter().map(|(bucket, key, content)| (bucket, key, decoded(content))).collect()
    }

    /// What the test guest reports of an event that it came to the end of.
    pub(crate) fn report(&self) -> Option<String> {
        self.trap.is_none().then(|| Self::report_in(&self.values())).flatten()
    }

    /// What the test guest reports, which is in the last value that it makes.
    pub(crate) fn report_in(values: &[Vec<u8>]) -> Option<String> {
        values.last().map(|report| String::from_utf8_lossy(report).into_owned())
    }
}
