//! `#[handle_watch]` as the compiler sees it: what it accepts, and what it says of each mistake.
//!
//! The messages are those of one version of the compiler. Where they change, see that each is still one, in the right place,
//! and take them over with `TRYBUILD=overwrite cargo test --test attribute`.

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
