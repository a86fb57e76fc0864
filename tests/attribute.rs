//! Tests `#[handle_watch]` with the compiler: the code that it accepts, and the message for each mistake.
//!
//! The messages are those of one version of the compiler. If they change, check that each message is still there and in the right
//! place. Then accept them with `TRYBUILD=overwrite cargo test --test attribute`.

use std::process::ExitCode;

use harness::{pinned_rust, test};

fn main() -> ExitCode {
    harness::run([test!(correct_uses_compile), test!(each_mistake_is_named).needs(pinned_rust)])
}

fn correct_uses_compile() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

fn each_mistake_is_named() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
