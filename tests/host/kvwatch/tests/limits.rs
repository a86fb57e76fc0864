//! Tests the limits with guests that ask for too much while they run.

mod common;

#[path = "common/limits.rs"]
mod guests;

use std::time::Duration;

use common::{DROP_BOTH, HANDLE_WATCH, component};
use guests::{FILL, NEW_BODY, idle, maker, sleeper};
use kvwatch::world::{Instance, Personality};
use kvwatch::{Cause, Engine, Outcome, Output, Session, Watcher};

const LIMIT: Duration = Duration::from_millis(200);

fn session(engine: &Engine, bytes: &[u8]) -> Session {
    Watcher::from_bytes(engine, "w.wasm", bytes).unwrap().session().build()
}

fn timed() -> Engine {
    Engine::builder().time_limit(LIMIT).build().unwrap()
}

#[test]
fn what_the_host_keeps_for_a_guest_counts_towards_the_memory() {
    let engine = Engine::builder().memory_limit(4 << 20).time_limit(Duration::from_mins(1)).build().unwrap();
    let guests = [
        ("makes errors for ever", "(loop (drop (call $new-error)) (br 0))".to_owned()),
        ("makes values for ever", "(loop (drop (call $new-value)) (br 0))".to_owned()),
        ("fills values for ever", format!("(loop {NEW_BODY} {FILL} (br 0))")),
    ];
    for (what, guest) in guests {
        let mut session = session(&engine, &maker(&guest));
        let trapped = session.set("a", &"hello".into()).expect_trapped();
        assert!(
            matches!(&trapped.cause, Cause::Host(reason) if reason.contains("HostLimits::bytes")),
            "{what}: {trapped}"
        );
    }
}

#[test]
fn a_guest_that_gives_back_what_it_made_keeps_little() {
    let engine = Engine::builder().memory_limit(4 << 20).build().unwrap();
    let guest = format!(
        "(loop {NEW_BODY} {FILL} (call $drop-output (local.get $stream)) (call $drop-value (local.get $value)) \
         (local.set $len (i32.add (local.get $len) (i32.const 1))) \
         (br_if 0 (i32.lt_u (local.get $len) (i32.const 10000))))"
    );
    let outcome = session(&engine, &maker(&guest)).set("a", &"hello".into());
    assert!(outcome.is_handled(), "{outcome:?}");
    let kept: usize = outcome.values().iter().map(|value| value.bytes.len()).sum();
    assert!(kept <= 64 << 20, "{kept} bytes of written values are kept");
}

#[test]
fn violations_are_bounded() {
    let personality = Personality::named("bad-handles-noted").unwrap();
    let guest = maker(
        "(loop (call $skip (i32.const 0) (i64.const 1) (i32.const 16)) \
         (local.set $len (i32.add (local.get $len) (i32.const 1))) \
         (br_if 0 (i32.lt_u (local.get $len) (i32.const 1000000))))",
    );
    let watcher = Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", &guest).unwrap();
    let outcome = watcher.session().personality(personality).build().set("a", &"hello".into());
    assert_eq!((outcome.violations().len(), outcome.violation_count), (64, 1_000_001));
}

/// The time for each handle does not grow with their number: otherwise the event would not end within the limit.
#[test]
fn many_handles_whose_numbers_are_used_again() {
    let personality = Personality::named("handles-reused-from-0").unwrap();
    let engine = Engine::builder().time_limit(Duration::from_mins(1)).build().unwrap();
    let guest = maker(
        "(loop (drop (call $new-value)) (call $drop-value (call $new-value)) (drop (call $new-value)) \
         (local.set $len (i32.add (local.get $len) (i32.const 1))) \
         (br_if 0 (i32.lt_u (local.get $len) (i32.const 20001))))",
    );
    let watcher = Watcher::from_bytes(&engine, "w.wasm", &guest).unwrap();
    let outcome = watcher.session().personality(personality).build().set("a", &"hello".into());
    assert!(outcome.is_handled());
    // The bucket and the payload are not dropped either.
    assert_eq!(outcome.violation_count, 40_002);
}

#[test]
fn a_long_call_of_the_host_ends_at_the_time_limit() {
    let personality = Personality::named("writes-one-byte").unwrap();
    let guest = maker(&format!(
        "{NEW_BODY} (call $consume (local.get $payload) (i32.const 24)) \
         (call $forward (local.get $stream) (i32.load (i32.const 28)) (i32.const 16))"
    ));
    let watcher = Watcher::from_bytes(&timed(), "w.wasm", &guest).unwrap();
    let mut session = watcher.session().personality(personality).build();
    let content = kvwatch::world::Content::repeat("x", 1 << 40);
    assert_eq!(session.set("a", &content).expect_trapped().cause, Cause::Time(LIMIT));
}

#[test]
fn an_event_ends_at_the_time_limit() {
    let engine = timed();
    let guests = [
        ("sleeps for ever", sleeper(u64::MAX / 4)),
        ("computes for ever", common::watcher("(loop (br 0))")),
        (
            "fills memory for ever",
            common::watcher(
                "(drop (memory.grow (i32.const 255))) (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x1000000)) (br 0))",
            ),
        ),
        ("starts for ever", idle("", "(func $start (loop (br 0))) (start $start)")),
    ];
    for (what, guest) in guests {
        let mut session = session(&engine, &guest);
        for _ in 0..2 {
            let trapped = session.set("a", &"hello".into()).expect_trapped();
            assert_eq!(trapped.cause, Cause::Time(LIMIT), "{what}");
        }
    }
}

/// One instruction fills the memory, and nothing can interrupt it. No code of the guest runs after it.
#[test]
fn an_event_that_outlasts_its_limit_in_one_instruction_is_never_handled() {
    let fill = "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x20000000))";
    let engine = Engine::builder().time_limit(Duration::from_millis(5)).build().unwrap();
    let guest = common::watcher(&format!("{DROP_BOTH} (drop (memory.grow (i32.const 8191))) {fill}"));
    let mut session = session(&engine, &guest);
    for _ in 0..2 {
        let trapped = session.set("a", &"hello".into()).expect_trapped();
        assert!(matches!(trapped.cause, Cause::Time(_)), "{trapped}");
    }
}

/// The memory limit bounds the longest instruction.
#[test]
fn a_time_limit_alone_limits_memory_too() {
    let engine = Engine::builder().time_limit(Duration::from_mins(1)).build().unwrap();
    assert_eq!(engine.limits().memory, Some(1 << 32));
    let trapped = session(&engine, &idle("", "(memory 65536)")).set("a", &"hello".into()).expect_trapped();
    assert_eq!(trapped.cause, Cause::Memory(1 << 32));
    assert_eq!(Engine::new().unwrap().limits().memory, None);
}

#[test]
fn a_watcher_may_sleep_within_the_limit() {
    for engine in [Engine::new().unwrap(), Engine::builder().time_limit(Duration::from_mins(1)).build().unwrap()] {
        let mut session = session(&engine, &sleeper(1_000_000));
        for _ in 0..3 {
            assert!(session.set("a", &"hello".into()).is_handled());
        }
    }
}

#[test]
fn an_instance_for_each_event_may_sleep_too() {
    for engine in [Engine::new().unwrap(), Engine::builder().pooled(1).build().unwrap()] {
        let watcher = Watcher::from_bytes(&engine, "w.wasm", &sleeper(1_000_000)).unwrap();
        let mut session = watcher.session().personality(Personality::named("instance-per-event").unwrap()).build();
        for _ in 0..5 {
            assert!(session.set("a", &"hello".into()).is_handled());
        }
    }
}

#[test]
fn a_session_works_within_a_tokio_runtime() {
    let engine = timed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut session = session(&engine, &sleeper(1_000_000));
        // A tokio task must pause after fewer ready results than this.
        for _ in 0..200 {
            assert!(session.set("a", &"hello".into()).is_handled());
        }
        assert!(session.set_async("a", &"hello".into()).await.is_handled());
    });
}

/// If a session kept the thread, the last session would never end.
#[test]
fn many_sessions_wait_on_one_thread() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }
    let engine = Engine::new().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let last = runtime.block_on(async {
        for _ in 0..20 {
            let mut session = session(&engine, &sleeper(u64::MAX / 4));
            tokio::spawn(is_send(async move { session.set_async("a", &"hello".into()).await }));
        }
        // They start in this order.
        let mut session = session(&engine, &sleeper(1_000_000));
        tokio::spawn(async move { session.set_async("a", &"hello".into()).await }).await.unwrap()
    });
    assert!(last.is_handled());
}

#[test]
fn memories_and_tables_count_together() {
    let tables = "(table 8000000 funcref) ".repeat(90);
    let engine = Engine::builder().memory_limit(64 << 20).build().unwrap();
    let trapped = session(&engine, &idle("", &tables)).set("a", &"hello".into()).expect_trapped();
    assert!(trapped.starting);
    assert_eq!(trapped.cause, Cause::Memory(64 << 20));

    // 64 KiB of memory, and tables of 64 KiB.
    let guest = idle("", "(table 4096 funcref) (table 4096 funcref)");
    for (limit, fits) in [(128 << 10, true), ((128 << 10) - 1, false)] {
        let engine = Engine::builder().memory_limit(limit).build().unwrap();
        let outcome = session(&engine, &guest).set("a", &"hello".into());
        assert_eq!(outcome.is_handled(), fits, "{limit}");
    }
}

#[test]
fn a_refusal_of_memory_is_only_a_note() {
    let engine = Engine::builder().memory_limit(64 << 10).build().unwrap();
    let on_set = "(drop (memory.grow (i32.const 1))) (drop (i32.div_u (i32.const 1) (i32.const 0)))";
    let trapped = session(&engine, &common::watcher(on_set)).set("a", &"hello".into()).expect_trapped();
    assert_eq!(trapped.cause, Cause::Wasm("integer divide by zero".to_owned()));
    assert_eq!(trapped.refused_memory, Some(64 << 10));
    assert!(trapped.headline().ends_with("(before that, the memory limit of 64 KiB refused it memory)"));

    // A refusal in an earlier event of the instance is not noted.
    let on_set =
        "(if (i32.eq (global.get $events) (i32.const 1)) (then (drop (memory.grow (i32.const 1)))) (else unreachable))";
    let mut session = session(&engine, &common::watcher(on_set));
    assert!(session.set("a", &"hello".into()).is_handled());
    assert_eq!(session.set("a", &"hello".into()).expect_trapped().refused_memory, None);
}

#[test]
fn a_component_that_does_not_fit_the_pool_runs_without_it() {
    let engine = Engine::builder().pooled(1).build().unwrap();
    let modules = "(core module $other) ".to_owned() + &"(core instance (instantiate $other)) ".repeat(17);
    for (what, guest) in [
        ("a large table", idle("", "(table 20000 funcref)")),
        ("a larger table", idle("", "(table 50000 funcref)")),
        ("17 more core instances", idle(&modules, "")),
        ("many functions", idle("", &"(func) ".repeat(30_000))),
        ("many memories", idle("", "(memory 1) (memory 1)")),
    ] {
        let watcher = Watcher::from_bytes(&engine, "w.wasm", &guest).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut personality = Personality::default();
        personality.instance = Instance::PerEvent;
        let mut session = watcher.session().personality(personality).build();
        for _ in 0..3 {
            let outcome: Outcome = session.set("a", &"hello".into());
            assert!(outcome.is_handled(), "{what}: {outcome:?}");
        }
    }
}

#[test]
fn a_component_in_the_pool_has_only_the_room_of_the_pool() {
    let engine = Engine::builder().pooled(1).build().unwrap();
    let mut sessions = [(); 2].map(|()| session(&engine, &idle("", "(table 19999 funcref)")));
    assert!(sessions[0].set("a", &"hello".into()).is_handled());
    let trapped = sessions[1].set("a", &"hello".into()).expect_trapped();
    assert!(trapped.starting && trapped.to_string().contains("maximum concurrent limit of 1 for"), "{trapped}");
    sessions[0].renew();
    assert!(sessions[1].set("a", &"hello".into()).is_handled());
}

#[test]
fn calls_of_the_host_cost_fuel() {
    let guest = common::watcher(DROP_BOTH);
    let fuel =
        session(&Engine::builder().count_fuel().build().unwrap(), &guest).set("a", &"hello".into()).fuel.unwrap();
    assert!((200..300).contains(&fuel), "two calls: {fuel}");
    let engine = Engine::builder().fuel_limit(150).build().unwrap();
    let trapped = session(&engine, &guest).set("a", &"hello".into()).expect_trapped();
    assert_eq!(trapped.cause, Cause::Fuel(150));
}

#[test]
fn a_trap_names_the_functions_that_have_names() {
    let guest = component(&format!(
        r#"
        (core module $module
            (memory (export "memory") 1)
            (func $inner (@name "red\u{{1b}}[31m") unreachable)
            (func $outer (call $inner))
            (func $deep (param i32) (call $deep (local.get 0)))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param i32 i32 i32 i32) (call $outer))
            (func (export "on-delete") (param i32 i32 i32) (call $deep (i32.const 1))))
        (core instance $core (instantiate $module))
        {HANDLE_WATCH}
        "#
    ));
    let mut session = session(&Engine::new().unwrap(), &guest);
    let trapped = session.set("a", &"hello".into()).expect_trapped();
    assert_eq!(trapped.backtrace, ["red\\u{1b}[31m", "outer"]);
    assert!(trapped.to_string().ends_with("\n    in red\\u{1b}[31m\n    in outer"), "{trapped}");
    let trapped = session.delete("a").expect_trapped();
    assert_eq!(trapped.backtrace, vec!["deep"; 16]);
}

#[test]
fn a_slow_reader_of_the_output_costs_the_watcher_no_time() {
    let watcher = Watcher::from_bytes(&timed(), "w.wasm", &common::printer("stdout", b"a line\n", 1)).unwrap();
    let output = Output::lines(|_, line| {
        assert_eq!(line, "a line");
        std::thread::sleep(2 * LIMIT);
    });
    let outcome = watcher.session().output(output).timed().build().set("a", &"hello".into());
    assert!(outcome.is_handled(), "{outcome:?}");
    assert!(outcome.duration.unwrap() >= 2 * LIMIT);
}

#[test]
fn a_watcher_prints_within_a_tokio_runtime() {
    let engine = Engine::new().unwrap();
    let watcher = Watcher::from_bytes(&engine, "w.wasm", &common::printer("stdout", b"a line\n", 1)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome =
        runtime.block_on(async { watcher.session().output(Output::captured()).build().set("a", &"hello".into()) });
    assert!(outcome.is_handled(), "{outcome:?}");
    assert_eq!(outcome.stdout(), "a line\n");
}
