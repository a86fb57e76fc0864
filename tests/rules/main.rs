//! Tests the rules of ownership and of streams, one by one, and for any payload, host and author.
//!
//! `ownership` and `streams` name each rule of the SDK's design in at least one test. `properties` checks the rules for every
//! host and every author. The table of rules and tests is in `tests/conformance`.

mod acting;
mod author;
mod handlers;
mod outbound;
mod ownership;
mod properties;
mod regressions;
mod streams;
mod surface;
mod testing;

use inbound_keyvalue::testing::{Personality, TestHost};

use author::Idle;

fn host() -> TestHost<Idle> {
    TestHost::new()
}

fn deviating(deviate: impl FnOnce(&mut Personality)) -> TestHost<Idle> {
    TestHost::with(Personality::deviating(deviate))
}

/// The number of calls that `act` makes to the host.
fn calls<W, T>(host: &TestHost<W>, act: impl FnOnce() -> T) -> (T, u64) {
    let before = host.host().calls();
    let result = act();
    (result, host.host().calls() - before)
}

/// Fails the test when handles were leaked or misused.
#[track_caller]
fn assert_clean<W>(host: &mut TestHost<W>) {
    let violations = host.settle();
    assert!(violations.is_empty(), "{violations:?}");
}
