//! Tests mistakes that only a build for wasm can show, and the compiler's messages about them.

use crate::UNKNOWN;
use crate::project::Outside;

/// The compiler's messages about a project with this source, which is checked for wasm with these arguments.
fn refused(name: &str, source: &str, arguments: &[&str]) -> String {
    let outside = Outside::new(name);
    outside.cargo(&["new", "--lib", name]);
    let project = outside.inside(name);
    project.append(
        "Cargo.toml",
        "\n[lib]\ncrate-type = [\"cdylib\"]\n\n[features]\ntesting = [\"inbound-keyvalue/testing\"]\n",
    );
    project.append("Cargo.toml", "\n[dependencies.inbound-keyvalue]\nversion = \"0.1\"\n");
    project.patch_sdk();
    project.write("src/lib.rs", source);
    let command = [&["check", "--target", UNKNOWN], arguments].concat();
    project.cargo_fails(&command)
}

pub(crate) fn a_second_watcher_in_one_crate_does_not_compile() {
    let source = "
use inbound_keyvalue::{HandleWatch, handle_watch};

#[handle_watch]
#[derive(Default)]
pub struct First;

mod elsewhere {
    #[super::handle_watch]
    #[derive(Default)]
    pub struct Second;

    impl super::HandleWatch for Second {}
}

impl HandleWatch for First {}
";
    let message = refused("two-watchers", source, &[]);
    assert!(message.contains("`__one_component_has_one_watcher` is defined multiple times"), "{message}");
    assert!(message.contains("src/lib.rs:9:"), "it names the second watcher: {message}");
}

pub(crate) fn the_test_host_says_what_to_run_where_the_target_is_wasm() {
    let source = "
use inbound_keyvalue::HandleWatch;
use inbound_keyvalue::testing::{Personality, TestHost};

pub struct Watcher;

impl HandleWatch for Watcher {}

pub fn test(personality: Personality) {
    let _ = TestHost::<Watcher>::new();
    let _ = TestHost::<Watcher>::with(personality);
}
";
    let message = refused("wasm-tests", source, &["--features", "testing"]);
    assert!(message.contains("is for native targets, and this build's target is wasm"), "{message}");
    assert!(message.contains("cargo test --target x86_64-unknown-linux-gnu"), "{message}");
    assert!(!message.contains("unresolved import"), "{message}");
}

/// The SDK keeps its state in statics that assume one thread, so a build with threads must not compile.
pub(crate) fn a_build_with_threads_does_not_compile() {
    let source = "pub use inbound_keyvalue::HandleWatch;";
    // Only a nightly compiler, or one with this variable, reports this feature to a crate.
    let flags =
        ["--config", "build.rustflags = ['-Ctarget-feature=+atomics']", "--config", "env.RUSTC_BOOTSTRAP = '1'"];
    let message = refused("threads", source, &flags);
    assert!(message.contains("inbound-keyvalue does not support wasm with threads"), "{message}");
}
