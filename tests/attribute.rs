//! `#[handle_watch]` as the compiler sees it: what it accepts, and what it says of each mistake.
//!
//! The messages are those of the stable compiler. Where they change, see that each is still one, in the right place, and
//! take them over with `TRYBUILD=overwrite cargo test --test attribute`.

#[test]
fn attribute() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
