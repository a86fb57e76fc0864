//! Projects outside this repository.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use wasm_targets::Target;

use crate::{repository, say};

/// An empty folder outside this repository, for projects. It is removed when its test has passed.
pub(crate) struct Outside(Project);

/// A folder to run cargo in.
pub(crate) struct Project(PathBuf);

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

impl Outside {
    /// Inside the repository, cargo would treat the projects as parts of its workspace. A name stands for the same place each
    /// time, so that cargo finds its earlier builds. Another checkout has another place.
    pub(crate) fn new(name: &str) -> Self {
        let checkout = repository().to_string_lossy().replace(|c: char| !c.is_alphanumeric(), "-");
        let folder = env::temp_dir().join(format!("inbound-keyvalue-journey{checkout}-{name}"));
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        Self(Project(folder))
    }
}

impl Deref for Outside {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.0
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        // The files of a failed test are kept, so that a person can look at them.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(self.path(""));
        }
    }
}

impl Project {
    /// The project in a folder inside this project.
    pub(crate) fn inside(&self, folder: impl AsRef<Path>) -> Self {
        Self(self.path(folder))
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    pub(crate) fn append(&self, path: &str, text: &str) {
        let mut file = fs::OpenOptions::new().append(true).open(self.path(path)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Does what `cargo add inbound-keyvalue` will do when the crate is published. Until then, cargo finds the crate only by its
    /// path, even with a patch. So cargo adds the path, and this function changes the result to that for a published crate.
    pub(crate) fn add_sdk(&self) {
        let sdk = repository();
        self.cargo(&["add", "inbound-keyvalue", "--path", sdk.to_str().expect("a path that is text")]);
        let manifest = fs::read_to_string(self.path("Cargo.toml")).unwrap();
        let published = manifest.lines().map(|line| match line.split_once(", path = ") {
            Some((sdk, _)) => sdk.replace("{ version = ", ""),
            None => line.to_owned(),
        });
        self.write("Cargo.toml", &(published.collect::<Vec<_>>().join("\n") + "\n"));
        self.patch_sdk();
    }

    /// The one line that an author would not have.
    pub(crate) fn patch_sdk(&self) {
        let sdk = repository();
        self.append("Cargo.toml", &format!("\n[patch.crates-io]\ninbound-keyvalue.path = '{}'\n", sdk.display()));
    }

    /// Runs cargo.
    pub(crate) fn cargo(&self, args: &[&str]) {
        let output = self.run(args);
        assert!(output.status.success(), "cargo {} failed in {}:\n{}", args.join(" "), self.0.display(), text(&output));
    }

    /// Runs cargo, which must fail. Returns its messages.
    pub(crate) fn cargo_fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "cargo {} was to fail in {}", args.join(" "), self.0.display());
        text(&output)
    }

    fn run(&self, args: &[&str]) -> Output {
        wasm_targets::ensure(&Target::ALL, &mut say).unwrap();
        say(&format!("{}: cargo {}", self.name(), args.join(" ")));
        Command::new(cargo())
            .args(args)
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", target_dir())
            .output()
            .expect("cargo, which runs this test, can be run")
    }

    /// The path of the artifact that cargo built for a target.
    pub(crate) fn built(&self, target: &str) -> Vec<u8> {
        let file = format!("{}.wasm", self.name().replace('-', "_"));
        fs::read(target_dir().join(target).join("release").join(file)).unwrap()
    }

    /// The name of the project's folder, which is the package's.
    pub(crate) fn name(&self) -> &str {
        self.0.file_name().and_then(|name| name.to_str()).expect("a project's folder has its name")
    }
}

/// One target folder for all projects, so that common crates are built once.
fn target_dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/journey"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
