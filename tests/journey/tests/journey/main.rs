//! Tests the steps of a new author: the commands of the README, examples that are copied out of the repository, and packages that
//! register no watcher or generate bindings of their own. Each is a project outside this workspace. It has one line that an
//! author would not have: the patch that replaces the crate while it is not published.

mod component;
mod mistakes;
mod project;
mod readme;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use component::Interfaces;
use harness::{cargo_component, copy_folder, test};
use mistakes::{
    a_build_with_threads_does_not_compile, a_second_watcher_in_one_crate_does_not_compile,
    the_test_host_says_what_to_run_where_the_target_is_wasm,
};
use project::{Outside, Project};
use readme::Readme;

/// The target of `cargo component build`.
const WASIP1: &str = "wasm32-wasip1";
const WASIP2: &str = "wasm32-wasip2";
const UNKNOWN: &str = "wasm32-unknown-unknown";

fn main() -> ExitCode {
    harness::run([
        test!(cargo_component_builds_the_readmes_watcher).needs(cargo_component),
        test!(the_readmes_watcher_builds_without_cargo_component),
        test!(cargo_component_builds_a_project_that_targets_the_world).needs(cargo_component),
        test!(examples_work_outside_the_repository),
        test!(cargo_component_builds_every_example).needs(cargo_component),
        test!(what_registers_no_watcher_exports_none),
        test!(a_second_watcher_in_one_crate_does_not_compile),
        test!(a_build_with_threads_does_not_compile),
        test!(the_test_host_says_what_to_run_where_the_target_is_wasm),
    ])
}

/// Reports progress past the test harness. The harness shows the output of a test only if the test fails.
fn say(what: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "journey: {what}");
}

/// The repository of this test.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Builds a project with a command, and checks the result.
fn build(project: &Project, args: &[&str]) -> &'static str {
    project.cargo(args);
    let target = [UNKNOWN, WASIP1, WASIP2].into_iter().find(|target| args.contains(target)).unwrap_or(WASIP1);
    let mut interfaces = Interfaces::of(&project.built(target));
    if fs::read_to_string(project.path("Cargo.toml")).unwrap().contains("\"outbound\"") {
        interfaces = interfaces.without_outbound();
    }
    assert_eq!(interfaces.exports, ["wasi:keyvalue/handle-watch"], "{target}");
    assert!(interfaces.imports_the_world(), "{target}: {interfaces:?}");
    match target {
        UNKNOWN => assert!(interfaces.imports_nothing_else(), "{interfaces:?}"),
        _ => assert!(interfaces.imports_nothing_but_wasi(), "{interfaces:?}"),
    }
    target
}

fn cargo_component_builds_the_readmes_watcher() {
    let readme = Readme::read();
    let outside = Outside::new("readme");
    let mut project = outside.inside("");
    let mut targets = BTreeSet::new();
    for command in readme.commands() {
        match command.split_whitespace().collect::<Vec<_>>()[..] {
            ["cd", folder] => project = project.inside(folder),
            ["cargo", "add", "inbound-keyvalue"] => {
                project.add_sdk();
                project.write("src/lib.rs", readme.watcher());
            }
            ["cargo", ref args @ ..] if args.contains(&"build") => _ = targets.insert(build(&project, args)),
            ["cargo", ref args @ ..] => project.cargo(args),
            _ => panic!("this test does not know what the README means with: {command}"),
        }
    }
    assert_eq!(targets, BTreeSet::from([WASIP1, WASIP2]));
    // "unless told otherwise with `--target`"
    build(&project, &["component", "build", "--release", "--target", UNKNOWN]);

    project.append("Cargo.toml", &format!("\n[dev-dependencies]\n{}\n", readme.dev_dependency()));
    project.append("src/lib.rs", readme.test());
    project.cargo(&["test"]);

    // The files that `cargo component new` makes for the author's own bindings are of no use to this watcher, and can be deleted.
    project.cargo(&["remove", "wit-bindgen-rt"]);
    fs::remove_dir_all(project.path("wit")).unwrap();
    fs::remove_file(project.path("src/bindings.rs")).unwrap();
    build(&project, &["component", "build", "--release"]);
}

fn the_readmes_watcher_builds_without_cargo_component() {
    let readme = Readme::read();
    let outside = Outside::new("plain");
    outside.cargo(&["new", "--lib", "plain-watcher"]);
    let project = outside.inside("plain-watcher");
    project.append("Cargo.toml", "\n[lib]\ncrate-type = [\"cdylib\"]\n");
    project.add_sdk();
    project.write("src/lib.rs", readme.watcher());
    let plain =
        readme.commands().find(|command| command.starts_with("cargo build")).expect("the README has a plain path");
    build(&project, &plain.split_whitespace().skip(1).collect::<Vec<_>>());
}

/// A project whose manifest targets this world generates its own bindings. They do no harm unless they are exported: a component
/// has one `handle-watch`.
fn cargo_component_builds_a_project_that_targets_the_world() {
    let outside = Outside::new("own-world");
    outside.cargo(&["component", "new", "--lib", "own-world"]);
    let project = outside.inside("own-world");
    project.add_sdk();
    copy_folder(&repository().join("wit"), &project.path("wit")).unwrap();
    fs::remove_file(project.path("wit/world.wit")).unwrap();
    project
        .append("Cargo.toml", "\n[package.metadata.component.target]\npath = \"wit\"\nworld = \"inbound-keyvalue\"\n");
    let watcher = Readme::read().watcher().to_owned();
    let build_both = || {
        build(&project, &["component", "build", "--release"]);
        build(&project, &["component", "build", "--release", "--target", UNKNOWN]);
    };

    project.write("src/lib.rs", &watcher);
    build_both();
    assert!(project.path("src/bindings.rs").is_file(), "bindings are generated, and nothing uses them");

    let with_bindings = format!("#[allow(warnings)]\nmod bindings;\n\n{watcher}");
    project.write("src/lib.rs", &with_bindings);
    build_both();

    let exports_them = r"
struct Component;

impl bindings::exports::wasi::keyvalue::handle_watch::Guest for Component {
    fn on_set(_bucket: u32, _key: String, _payload: u32) {}
    fn on_delete(_bucket: u32, _key: String) {}
}

bindings::export!(Component with_types_in bindings);
";
    project.append("src/lib.rs", exports_them);
    let said = project.cargo_fails(&["component", "build", "--release"]);
    assert!(said.contains("symbol `wasi:keyvalue/handle-watch#on-"), "{said}");
    assert!(said.contains("is already defined"), "{said}");
}

fn examples_work_outside_the_repository() {
    let outside = Outside::new("examples");
    for project in examples(&outside) {
        project.cargo(&["test"]);
        build(&project, &["build", "--release", "--target", WASIP2]);
    }
}

fn cargo_component_builds_every_example() {
    let outside = Outside::new("component-examples");
    for project in examples(&outside) {
        for arguments in
            [&["component", "build", "--release"][..], &["component", "build", "--release", "--target", UNKNOWN]]
        {
            let target = build(&project, arguments);
            let name = format!("{} of cargo-component for {target}", project.name());
            // It imports HTTP, and kvwatch is built without HTTP here.
            if project.name() != "webhook" {
                conformance::run_recorded(&name, &conformance::load(&name, &project.built(target)), &project.path(""));
            }
        }
    }
}

/// Copies every example, as an author does who starts from it.
fn examples(outside: &Outside) -> Vec<Project> {
    let entries = fs::read_dir(repository().join("examples")).unwrap().map(Result::unwrap);
    let examples = entries.filter(|example| example.path().join("Cargo.toml").is_file());
    let projects = examples.map(|example| {
        let project = outside.inside(example.file_name());
        copy_folder(&example.path(), &project.path("")).unwrap();
        project.patch_sdk();
        project
    });
    projects.collect()
}

/// H3: a crate that depends on the SDK and registers nothing is a valid component without the export.
fn what_registers_no_watcher_exports_none() {
    let uses_nothing = "pub use inbound_keyvalue::HandleWatch;";
    let reads_payloads = r#"
use inbound_keyvalue::{Error, Payload};

pub fn len(payload: Payload) -> Result<usize, Error> {
    Ok(payload.into_bytes()?.len())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn len_of(payload: u32) -> usize {
    len(unsafe { Payload::from_raw(payload) }).unwrap()
}
"#;
    for (name, source, imports) in [("uses-nothing", uses_nothing, false), ("reads-payloads", reads_payloads, true)] {
        let outside = Outside::new(name);
        outside.cargo(&["new", "--lib", name]);
        let project = outside.inside(name);
        project.append("Cargo.toml", "\n[lib]\ncrate-type = [\"cdylib\"]\n");
        project.add_sdk();
        project.write("src/lib.rs", source);
        project.cargo(&["build", "--release", "--target", UNKNOWN]);
        let interfaces = Interfaces::of(&component::encode(&project.built(UNKNOWN)));
        assert_eq!(interfaces.exports, [""; 0], "{name}");
        assert!(interfaces.imports_nothing_else(), "{name}: {interfaces:?}");
        assert_eq!(interfaces.imports_the_world(), imports, "{name}: {interfaces:?}");
    }
}
