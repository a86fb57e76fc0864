//! The whole way without rustup, on a copy of the toolchain in use. It takes some three minutes, a
//! Debian machine and the network: `cargo test -p wasm-targets -- --ignored`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wasm_targets::Target;

/// A toolchain that is not rustup's, without any of the targets.
struct Toolchain {
    root: TempDir,
}

impl Toolchain {
    fn copy() -> Self {
        let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().expect("rustc");
        let sysroot = String::from_utf8(sysroot.stdout).expect("a path");
        let sysroot = Path::new(sysroot.trim());
        // Beside the original, so that hard links do for copies.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        for folder in ["bin", "lib", "libexec"] {
            copy(&sysroot.join(folder), &root.path().join(folder));
        }
        Self { root }
    }

    fn rustlib(&self) -> PathBuf {
        self.root.path().join("lib/rustlib")
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .env("RUSTC", self.root.path().join("bin/rustc"))
            // cargo puts the original's libraries there, and the copy would take itself for the
            // original.
            .env_remove("LD_LIBRARY_PATH")
            // The settings of an outer cargo must not reach this one.
            .env("RUSTFLAGS", "--no-such-flag")
            .env("CARGO_BUILD_TARGET", "no-such-target");
        command
    }

    fn install(&self, targets: &[Target]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_wasm-targets"));
        let output = command.args(targets.iter().map(|t| t.as_str())).output().expect("run");
        println!("{}", said(&output));
        output
    }

    fn staging_folders(&self) -> usize {
        let entries = fs::read_dir(self.rustlib()).expect("rustlib").flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with(".wasm-targets-")).count()
    }

    fn builds_guests(&self, target: Target) {
        let guest = tempfile::tempdir().expect("a folder");
        fs::create_dir(guest.path().join("src")).expect("src");
        fs::write(guest.path().join("Cargo.toml"), MANIFEST).expect("manifest");
        fs::write(guest.path().join("src/lib.rs"), LIBRARY).expect("library");
        fs::write(guest.path().join("src/main.rs"), PROGRAM).expect("program");
        let output = self
            .command(self.root.path().join("bin/cargo"))
            .current_dir(guest.path())
            .args(["build", "--release", "--target", target.as_str()])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env("CARGO_TARGET_DIR", guest.path().join("target"))
            .output()
            .expect("cargo");
        assert!(output.status.success(), "{target}: {}", said(&output));
        for file in ["guest.wasm", "program.wasm"] {
            let file = guest.path().join("target").join(target.as_str()).join("release").join(file);
            let wasm = fs::read(&file).expect("a module");
            assert!(wasm.starts_with(b"\0asm"), "{target}");
            let text = String::from_utf8_lossy(&wasm);
            assert!(!text.contains(".wasm-targets-"), "{target}: a path of the build is in there");
        }
    }
}

const MANIFEST: &str = r#"
[package]
name = "guest"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[[bin]]
name = "program"
path = "src/main.rs"

[profile.release]
lto = true
opt-level = "s"
panic = "abort"
strip = true

[workspace]
"#;

const LIBRARY: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn length(n: usize) -> usize {
    let text = format!("{:?}", vec![n; 3]);
    println!("{text}");
    text.parse::<usize>().unwrap_or(text.len())
}
"#;

const PROGRAM: &str = r#"
use std::collections::HashMap;
fn main() {
    let map: HashMap<String, usize> = std::env::args().zip(0..).collect();
    println!("{:?} {:?}", map, std::time::SystemTime::now());
}
"#;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn copy(from: &Path, to: &Path) {
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with("wasm32-") || name.starts_with("manifest-rust-std-wasm32-") {
        return;
    }
    if from.is_dir() {
        fs::create_dir_all(to).expect("create");
        for entry in fs::read_dir(from).expect("read").flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if from.exists() && fs::hard_link(from, to).is_err() {
        fs::copy(from, to).expect("copy");
    }
}

#[test]
#[ignore = "takes minutes, and needs a Debian machine and the network"]
fn targets_are_built_installed_and_whole() {
    let toolchain = Toolchain::copy();

    // Nothing is there, and a run is killed in the middle.
    let mut killed = toolchain.command(env!("CARGO_BIN_EXE_wasm-targets")).stderr(Stdio::piped()).spawn().expect("run");
    let lines = BufReader::new(killed.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(lines.into_iter().any(|line| line.contains("building std for wasm32-unknown-unknown")));
    std::thread::sleep(Duration::from_secs(5));
    killed.kill().expect("kill");
    killed.wait().expect("wait");
    for target in Target::ALL {
        assert!(!toolchain.rustlib().join(target.as_str()).exists(), "{target} is half-installed");
    }
    assert_eq!(toolchain.staging_folders(), 1);

    // The next run removes what that one left, and does its work.
    let output = toolchain.install(&[]);
    assert!(output.status.success());
    assert!(said(&output).contains("left by a run that was interrupted"));
    assert_eq!(toolchain.staging_folders(), 0);
    for target in Target::ALL {
        toolchain.builds_guests(target);
    }

    // A run without missing targets changes nothing.
    let start = Instant::now();
    let output = toolchain.install(&[]);
    assert!(output.status.success());
    assert_eq!(said(&output).lines().count(), 1);
    assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());

    // One target that lost a file is built again, and that one only.
    let lib = toolchain.rustlib().join("wasm32-wasip1/lib");
    fs::remove_file(lib.join("self-contained/libc.a")).expect("remove");
    fs::write(lib.join("libcore-stale.rlib"), "").expect("write");
    let output = toolchain.install(&[]);
    assert!(output.status.success());
    assert!(!lib.join("libcore-stale.rlib").exists());
    let built = said(&output).lines().filter(|line| line.contains("building std for")).count();
    assert_eq!(built, 1);
    toolchain.builds_guests(Target::Wasip1);
    assert_eq!(toolchain.staging_folders(), 0);
}
