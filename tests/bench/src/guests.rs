//! Builds the guests of both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cargo_metadata::{Artifact, Message};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasm_targets::Target;
use wasmparser::Parser;
use wasmtime::error::Context as _;
use wasmtime::{Result, ensure};
use wit_component::ComponentEncoder;

/// The target of the guests, unless a table compares targets. Guests for this target import only the world.
const TARGET: Target = Target::UnknownUnknown;

/// The feature of the guests' packages that adds the guest for JSON and serde.
const JSON: &str = "json";

/// The way in which a guest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// With wit-bindgen's `generate!`. The author knows every rule of the draft for handles and wastes nothing.
    ByHand,
    /// With `#[handle_watch]`.
    WithSdk,
    /// With `#[handle_watch]` and the SDK's feature `small-allocator`.
    WithSmallAllocator,
}

impl Side {
    fn package(self) -> &'static str {
        match self {
            Self::ByHand => "by-hand",
            Self::WithSdk | Self::WithSmallAllocator => "with-sdk",
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Self::ByHand | Self::WithSdk => &[],
            Self::WithSmallAllocator => &["small-allocator"],
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ByHand => "by hand",
            Self::WithSdk => "with the SDK",
            Self::WithSmallAllocator => "with `small-allocator`",
        })
    }
}

/// Core modules by the names of their guests.
pub type Modules = BTreeMap<String, Vec<u8>>;

/// The guests of one side.
#[derive(Debug)]
pub struct Guests {
    side: Side,
    components: BTreeMap<String, Vec<u8>>,
    packages: BTreeSet<String>,
}

impl Guests {
    /// Builds the guests of both sides.
    ///
    /// # Errors
    ///
    /// When cargo fails, or a module cannot be made into a component.
    pub fn of_both_sides() -> Result<[Self; 2]> {
        Ok([Self::build(Side::ByHand)?, Self::build(Side::WithSdk)?])
    }

    /// Builds the components of all guests of `side` that need no feature, as an author builds a release.
    ///
    /// # Errors
    ///
    /// When cargo fails, or a module cannot be made into a component.
    fn build(side: Side) -> Result<Self> {
        let mut cargo = cargo(side, TARGET)?;
        cargo.arg("--examples");
        let (modules, packages) = modules(side, cargo)?;
        Ok(Self { side, components: components(modules)?, packages })
    }

    /// Builds the guests of `side` with these names for `target`. The guest for JSON is built alone, with its feature.
    ///
    /// # Errors
    ///
    /// When cargo fails, or a module cannot be made into a component.
    pub fn of_names<'a>(side: Side, target: Target, names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let (json, plain): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| needs_json(name));
        let mut guests = Self { side, components: BTreeMap::new(), packages: BTreeSet::new() };
        for (names, feature) in [(plain, None), (json, Some(JSON))] {
            let mut cargo = cargo(side, target)?;
            let features: Vec<_> = side.features().iter().copied().chain(feature).collect();
            cargo.args(["--features", &features.join(",")]);
            cargo.args(names.into_iter().flat_map(|name| ["--example", name]));
            let (modules, packages) = modules(side, cargo)?;
            guests.components.extend(components(modules)?);
            guests.packages.extend(packages);
        }
        Ok(guests)
    }

    /// The component of the guest with this name.
    ///
    /// # Errors
    ///
    /// When there is no such guest.
    pub fn get(&self, name: &str) -> Result<&[u8]> {
        let component = self.components.get(name);
        component.map(Vec::as_slice).with_context(|| format!("there is no guest {name} written {}", self.side))
    }

    /// The number of packages that cargo compiles before a guest.
    #[must_use]
    pub fn dependencies(&self) -> usize {
        self.packages.len() - 1
    }
}

/// The command that builds the guests of `side`. If the compiler lacks the target, this installs it.
fn cargo(side: Side, target: Target) -> Result<Command> {
    wasm_targets::ensure(&[target], &mut |line| eprintln!("{line}"))?;
    let mut cargo = cargo_build();
    // The command builds one package. If cargo built both at once, each would get the features that the other enables.
    cargo.args(["--release", "--target", target.as_str(), "--package", side.package()]);
    Ok(cargo)
}

/// `cargo build` without the variables that describe the package of this program. With them, cargo would run the build
/// scripts that read such variables again, and compile the crates that depend on these scripts again.
fn cargo_build() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("build").current_dir(root());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Makes components of the modules.
fn components(modules: Modules) -> Result<BTreeMap<String, Vec<u8>>> {
    let components = modules.into_iter().map(|(name, module)| {
        // For `wasm32-wasip2`, the linker has already made a component.
        if Parser::is_component(&module) {
            return Ok((name, module));
        }
        let component = component(&module).with_context(|| format!("cannot make a component of {name}"))?;
        Ok((name, component))
    });
    components.collect()
}

/// The core modules that `cargo` builds for the guests of `side`, and the packages that it compiles for them.
fn modules(side: Side, cargo: Command) -> Result<(Modules, BTreeSet<String>)> {
    let (mut modules, mut packages) = (Modules::new(), BTreeSet::new());
    for artifact in artifacts(cargo, format_args!("the guests {side}"))? {
        // The guests are all in one package. It is in the set once, like the packages that it depends on.
        packages.insert(artifact.package_id.repr);
        for file in artifact.filenames.iter().filter(|file| file.extension() == Some("wasm")) {
            let module = fs::read(file).with_context(|| format!("cannot read {file}"))?;
            modules.insert(artifact.target.name.clone(), module);
        }
    }
    Ok((modules, packages))
}

/// Builds the programs of these packages with the profile `bench`. Returns their paths by name.
///
/// # Errors
///
/// When cargo fails.
pub(crate) fn programs(packages: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut cargo = cargo_build();
    cargo.args(["--profile", "bench", "--bins"]).args(packages.iter().flat_map(|package| ["--package", package]));
    let built = artifacts(cargo, format_args!("the programs of {}", packages.join(", ")))?;
    let path = |artifact: Artifact| Some((artifact.target.name, artifact.executable?.into()));
    Ok(built.into_iter().filter_map(path).collect())
}

/// Runs a build of cargo. Returns its artifacts.
fn artifacts(mut cargo: Command, what: fmt::Arguments<'_>) -> Result<Vec<Artifact>> {
    cargo.arg("--message-format=json-render-diagnostics");
    let mut child = cargo.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no standard output")?;
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(BufReader::new(output)) {
        if let Message::CompilerArtifact(artifact) = message? {
            artifacts.push(artifact);
        }
    }
    ensure!(child.wait()?.success(), "cargo failed to build {what}");
    Ok(artifacts)
}

/// Whether the guest of this name needs the feature for JSON.
pub(crate) fn needs_json(name: &str) -> bool {
    name.ends_with(JSON)
}

/// The core modules of all guests of `side`, with the names of their functions.
///
/// # Errors
///
/// When cargo fails.
pub fn with_names(side: Side) -> Result<Modules> {
    let mut cargo = cargo(side, TARGET)?;
    cargo.arg("--examples");
    // The linker sorts functions by the hashes of their symbols. Another profile changes the hashes. A flag does not.
    cargo.args(["--config", &format!("target.{TARGET}.rustflags=['-Cstrip=none']")]);
    // This build has its own folder. In a shared folder, each build would make cargo repeat the other.
    cargo.env("CARGO_TARGET_DIR", root().join("target/functions"));
    Ok(modules(side, cargo)?.0)
}

/// Builds a guest and its dependencies into an empty folder. Returns the CPU time of the build.
///
/// # Errors
///
/// When cargo fails.
pub fn cold_build(side: Side, guest: &str) -> Result<Duration> {
    let folder = tempfile::tempdir()?;
    let mut cargo = cargo(side, TARGET)?;
    // The CPU time does not include downloads.
    let fetched =
        Command::new(cargo.get_program()).args(["fetch", "--target", TARGET.as_str()]).current_dir(root()).status()?;
    ensure!(fetched.success(), "cargo failed to download the dependencies of {guest}");
    let before = children()?;
    let status = cargo.args(["--quiet", "--example", guest]).env("CARGO_TARGET_DIR", folder.path()).status()?;
    ensure!(status.success(), "cargo failed to build {guest}");
    Ok(children()?.saturating_sub(before))
}

/// The CPU time of all child processes that have ended.
pub(crate) fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = |time: TimeVal| time.tv_sec() * 1_000_000 + time.tv_usec();
    let total = microseconds(usage.user_time()) + microseconds(usage.system_time());
    Ok(Duration::from_micros(total.try_into()?))
}

/// The root of the SDK's checkout.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Makes a component of a guest's core module. A module for `wasm32-wasip1` gets the adapter of wasmtime.
///
/// # Errors
///
/// When the module does not name its world, or does not match this world.
pub fn component(module: &[u8]) -> Result<Vec<u8>> {
    let encoded = ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.adapter(ADAPTER_NAME, ADAPTER))
        .and_then(|encoder| encoder.validate(true).encode());
    encoded.map_err(|error| wasmtime::format_err!("{error:#}"))
}
