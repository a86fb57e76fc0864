//! Tests the results of events in a session.

mod common;

use std::time::Duration;

use common::DROP_BOTH;
use kvwatch::world::{Event, Fault, Personality};
use kvwatch::{Cause, Ending, Engine, Outcome, Session, Watched, Watcher};

fn session(engine: &Engine, on_set: &str) -> Session {
    Watcher::from_bytes(engine, "w.wasm", &common::watcher(on_set)).unwrap().session().build()
}

fn set(engine: &Engine, on_set: &str) -> Outcome {
    session(engine, on_set).set("users/ada", &"hello".into())
}

#[test]
fn events_are_handled_by_one_instance() {
    // The third event would trap.
    let on_set = format!("{DROP_BOTH} (if (i32.eq (global.get $events) (i32.const 3)) (then unreachable))");
    let mut session = session(&Engine::new().unwrap(), &on_set);
    let first = session.set("a", &"hello".into());
    first.expect_handled();
    assert!(first.is_handled());
    assert_eq!((first.calls, first.peak_memory, first.fuel, first.duration), (2, 65536, None, None));
    assert_eq!((first.values().len(), first.stdout(), first.stderr()), (0, "", ""));
    assert_eq!(session.delete("a").calls, 1);
    session.set("a", &"hello".into()).expect_handled();
    let trapped = session.set("a", &"hello".into()).expect_trapped();
    assert_eq!(trapped.to_string(), "on-set of \"a\" trapped: wasm `unreachable` instruction executed");
    // A fresh instance counts from the start.
    session.set("a", &"hello".into()).expect_handled();
    session.renew();
    for _ in 0..2 {
        session.set("a", &"hello".into()).expect_handled();
    }
    let _ = session.set("a", &"hello".into()).expect_trapped();
}

#[test]
fn an_instance_an_event() {
    let on_set = format!("{DROP_BOTH} (if (i32.eq (global.get $events) (i32.const 2)) (then unreachable))");
    for engine in [Engine::new().unwrap(), Engine::builder().pooled(1).build().unwrap()] {
        let watcher = Watcher::from_bytes(&engine, "w.wasm", &common::watcher(&on_set)).unwrap();
        let personality = Personality::named("instance-per-event").unwrap();
        let mut session = watcher.session().personality(personality).build();
        for _ in 0..50 {
            session.event(&Event::set("a", "hello")).expect_handled();
        }
    }
}

#[test]
fn a_host_trap_names_operation_key_and_cause() {
    let outcome =
        set(&Engine::new().unwrap(), "(call $drop-bucket (local.get $bucket)) (call $drop-bucket (local.get $bucket))");
    let trapped = outcome.trapped().unwrap();
    assert!(matches!(trapped.cause, Cause::Host(_)));
    assert_eq!(
        trapped.to_string(),
        "on-set of \"users/ada\" trapped: `drop-bucket` was called with bucket 3, which was dropped before (from `on-set`)"
    );
    assert_eq!(
        outcome.violations().iter().map(|violation| violation.fault).collect::<Vec<_>>(),
        [Fault::DroppedBefore]
    );
}

#[test]
fn violations_do_not_fail_an_event() {
    let outcome = set(&Engine::new().unwrap(), "(call $drop-bucket (local.get $bucket))");
    assert_eq!(outcome.ending, Ending::Handled);
    assert!(!outcome.is_clean());
    assert_eq!(outcome.violations()[0].to_string(), "payload 4 was never dropped (from `on-set`)");
}

#[test]
fn handle_numbers_continue_in_the_next_instance() {
    let mut session = session(&Engine::new().unwrap(), "unreachable");
    for _ in 0..2 {
        let outcome = session.set("a", &"hello".into());
        assert!(outcome.violations().is_empty());
        let _ = outcome.expect_trapped();
    }
}

#[test]
fn another_watcher_takes_over() {
    let engine = Engine::new().unwrap();
    let watcher = |on_set| Watcher::from_bytes(&engine, "w.wasm", &common::watcher(on_set)).unwrap();
    let mut store = Watched::new(watcher("unreachable").session(), "users");
    let _ = store.set("a", &"hello".into()).expect_trapped();
    store.session_mut().replace(watcher(DROP_BOTH));
    store.set("b", &"hello".into()).expect_handled();
    assert_eq!(store.store().len("users"), 2);
}

#[test]
fn the_time_limit() {
    let limit = Duration::from_millis(50);
    let engine = Engine::builder().time_limit(limit).build().unwrap();
    let on_set = format!("(loop (br_if 0 (i32.eq (local.get $len) (i32.const 4)))) {DROP_BOTH}");
    let watcher = Watcher::from_bytes(&engine, "w.wasm", &common::watcher(&on_set)).unwrap();
    let mut session = watcher.session().timed().build();
    let outcome = session.set("loop", &"hello".into());
    assert!(outcome.duration.unwrap() >= limit);
    let trapped = outcome.expect_trapped();
    assert_eq!(trapped.cause, Cause::Time(limit));
    assert_eq!(trapped.headline(), "on-set of \"loop\" trapped: it ran into the time limit of 50ms");
    // Each event has the whole time. Idle time does not count.
    std::thread::sleep(2 * limit);
    session.set("no loop", &"hello".into()).expect_handled();
}

#[test]
fn the_fuel_limit_and_what_was_consumed() {
    let engine = Engine::builder().fuel_limit(10_000).build().unwrap();
    let trapped = set(&engine, "(loop (br 0))").expect_trapped();
    assert_eq!(trapped.cause, Cause::Fuel(10_000));
    assert_eq!(trapped.cause.to_string(), "it ran into the fuel limit of 10000");

    let mut session = session(&Engine::builder().count_fuel().build().unwrap(), DROP_BOTH);
    let first = session.set("a", &"hello".into()).fuel.unwrap();
    let second = session.set("a", &"hello".into()).fuel.unwrap();
    assert!(first > 0 && first == second, "{first} {second}");
}

#[test]
fn the_memory_limit() {
    let engine = Engine::builder().memory_limit(128 << 10).build().unwrap();
    let grow = |pages: u32| {
        format!("{DROP_BOTH} (if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))")
    };
    let outcome = set(&engine, &grow(1));
    outcome.expect_handled();
    assert_eq!(outcome.peak_memory, 128 << 10);
    let trapped = set(&engine, &grow(2)).expect_trapped();
    // Only the watcher knows why it stopped.
    assert_eq!(
        trapped.headline(),
        "on-set of \"users/ada\" trapped: wasm `unreachable` instruction executed (before that, the memory limit of 128 KiB \
         refused it memory)"
    );
    // A watcher that works without the memory is not affected.
    let coping = format!("{DROP_BOTH} (drop (memory.grow (i32.const 2)))");
    let outcome = set(&engine, &coping);
    outcome.expect_handled();
    assert_eq!(outcome.peak_memory, 64 << 10);
}

#[test]
fn a_limit_below_the_first_memory_of_an_instance() {
    let engine = Engine::builder().memory_limit(1 << 10).build().unwrap();
    let mut session = session(&engine, DROP_BOTH);
    for _ in 0..2 {
        let trapped = session.set("a", &"hello".into()).expect_trapped();
        assert!(trapped.starting);
        assert_eq!(
            trapped.headline(),
            "on-set of \"a\" trapped, as an instance was made for it: it ran into the memory limit of 1 KiB"
        );
    }
}

#[test]
fn a_store_keeps_a_change_even_if_its_event_fails() {
    let watcher = Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", &common::watcher("unreachable")).unwrap();
    let mut store = Watched::new(watcher.session(), "users");
    let _ = store.apply(&Event::set("a", "hello")).expect_trapped();
    assert_eq!(store.store().get("users", "a").map(|content| content.len()), Some(5));
    store.apply(&Event::delete("a")).expect_handled();
    assert!(store.store().is_empty());
}

#[test]
#[should_panic(expected = "payload 4 was never dropped")]
fn expecting_an_event_to_be_handled_is_expecting_it_to_be_clean() {
    set(&Engine::new().unwrap(), "(call $drop-bucket (local.get $bucket))").expect_handled();
}
