//! The watcher on the author's machine, without a component.

use inbound_keyvalue::testing::TestHost;
use rand_anyhow_uuid::Watcher;

#[test]
fn it_writes_an_identifier_that_comes_once() {
    let mut host = TestHost::<Watcher>::new();
    let [first, second] = [0; 2].map(|_| {
        let outcome = host.set("whole/key", "text");
        outcome.expect_handled();
        outcome.values[2].bytes.clone()
    });
    assert_eq!(first.len(), 32);
    assert_ne!(first[..16], second[..16]);
    assert_ne!(first[16..], second[16..]);
}

#[test]
fn the_failure_says_what_was_no_identifier() {
    let failure = TestHost::<Watcher>::new().delete("identifiers/x").expect_failure();
    assert!(failure.starts_with("on-delete of \"identifiers/x\" failed: \"x\" is no identifier: "), "{failure}");
}
