//! H1 and H2; H3 needs components, and is in `tests/journey`.

use inbound_keyvalue::testing::{Ending, Instance, Personality, TestHost};

#[test]
fn h1_an_error_traps_with_operation_key_and_the_whole_chain() {
    let mut host = TestHost::<exercise::Exerciser>::new();
    let outcome = host.set("fail/\n", "text");
    assert_eq!(
        outcome.ending,
        Ending::Trapped(r#"on-set of "fail/\n" failed: on purpose: to see the cause"#.to_owned())
    );
    let outcome = host.delete("fail");
    assert_eq!(outcome.expect_failure(), r#"on-delete of "fail" failed: event 1 is to fail"#);
}

#[test]
fn h2_state_lasts_as_long_as_the_instance() {
    let mut host = TestHost::<exercise::Exerciser>::new();
    host.delete("ignore").expect_handled();
    assert_eq!(host.delete("ignore").values[0].bytes, b"ok 2 events");
    let _ = host.delete("fail");
    assert_eq!(host.delete("ignore").values[0].bytes, b"ok 1 events", "a trap takes the instance with it");
    host.fresh_instance();
    assert_eq!(host.delete("ignore").values[0].bytes, b"ok 1 events");
}

#[test]
fn h2_a_host_may_give_every_event_a_fresh_instance() {
    let personality = Personality::deviating(|p| p.instance = Instance::PerEvent);
    let mut host = TestHost::<exercise::Exerciser>::with(personality);
    for _ in 0..3 {
        assert_eq!(host.delete("ignore").values[0].bytes, b"ok 1 events");
    }
}
