//! Tests H1 and H2. H3 needs components, and is in `tests/journey`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use inbound_keyvalue::testing::{Ending, Instance, Personality, TestHost};
use inbound_keyvalue::{Bucket, HandleWatch, HandlerResult, Key, Payload, Value};

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

/// A watcher that commits the violation that the key names.
struct Careless;

impl HandleWatch for Careless {
    #[allow(unsafe_code)]
    fn on_set(&mut self, bucket: Bucket, key: Key<'_>, payload: Payload) -> HandlerResult {
        match key {
            "leak what was given" => _ = bucket.into_raw(),
            "leak what was opened" => _ = Bucket::open("other")?.into_raw(),
            "leak a stream" => _ = payload.into_stream()?.into_raw(),
            "leak a value" => _ = Value::new().into_raw(),
            // SAFETY: none. The test is about this violation.
            _ => drop(unsafe { Bucket::from_raw(bucket.as_raw()) }),
        }
        Ok(())
    }
}

/// The message with which a native test of `Careless` fails.
fn failure(key: &str) -> String {
    let mut host = TestHost::with_watcher(Personality::default(), || Careless);
    let failed = catch_unwind(AssertUnwindSafe(|| host.set(key, "text"))).expect_err("the test fails by itself");
    *failed.downcast::<String>().expect("it is a message")
}

#[test]
fn o8_a_leak_fails_the_native_test_with_kind_and_origin() {
    assert_eq!(
        failure("leak what was given"),
        "on-set of \"leak what was given\" is not clean:\n  bucket 3 was never dropped (from `on-set`)"
    );
    let here = concat!(" at ", file!(), ":");
    for (key, kind, call) in [
        ("leak what was opened", "bucket", "open-bucket"),
        ("leak a stream", "input-stream", "payload-consume-async"),
        ("leak a value", "value", "new-value"),
    ] {
        let failure = failure(key);
        assert!(failure.contains(&format!("\n  {kind} 5 was never dropped (from `{call}`{here}")), "{failure}");
    }
}

#[test]
fn o8_a_handle_dropped_twice_fails_the_native_test_with_kind_and_origin() {
    let failure = failure("drop twice");
    assert!(
        failure.ends_with("`drop-bucket` was called with bucket 3, which was dropped before (from `on-set`)"),
        "{failure}"
    );
}

#[test]
fn h1_any_error_is_a_handlers_error() {
    struct Parser;

    impl HandleWatch for Parser {
        fn on_set(&mut self, _bucket: Bucket, key: Key<'_>, payload: Payload) -> HandlerResult {
            let number: u8 = payload.into_string()?.parse()?;
            if number >= 100 {
                Err(anyhow::anyhow!("{number} is too much").context(format!("in {key}")))?;
            }
            Ok(())
        }
    }

    let mut host = TestHost::with_watcher(Personality::default(), || Parser);
    host.set("n", "99").expect_handled();
    assert_eq!(host.set("n", "100").expect_failure(), "on-set of \"n\" failed: in n: 100 is too much");
    assert_eq!(host.set("n", "300").expect_failure(), "on-set of \"n\" failed: number too large to fit in target type");
}

#[test]
fn h1_an_overridden_on_error_is_told_and_the_instance_goes_on() {
    #[derive(Default)]
    struct Lenient(u32);

    impl HandleWatch for Lenient {
        fn on_delete(&mut self, _bucket: Bucket, _key: Key<'_>) -> HandlerResult {
            Err("no".into())
        }

        fn on_error(&mut self, failure: inbound_keyvalue::Failure<'_>) {
            self.0 += 1;
            assert_eq!(failure.into_error().to_string(), "no");
        }
    }

    let mut host = TestHost::with_watcher(Personality::default(), Lenient::default);
    for _ in 0..2 {
        assert_eq!(host.delete("k").ending, Ending::Noted("on-delete of \"k\" failed: no".to_owned()));
    }
    assert_eq!(host.watcher().unwrap().0, 2);
}

#[test]
fn h1_a_panic_names_operation_and_key() {
    struct Panicky;

    impl HandleWatch for Panicky {
        fn on_set(&mut self, _bucket: Bucket, _key: Key<'_>, payload: Payload) -> HandlerResult {
            assert!(payload.into_bytes()?.is_empty(), "not empty");
            Ok(())
        }
    }

    let mut host = TestHost::with_watcher(Personality::default(), || Panicky);
    let outcome = host.set("k", "text");
    assert_eq!(outcome.ending, Ending::Panicked("on-set of \"k\" panicked: not empty".to_owned()));
    host.set("k", "").expect_handled();
}

#[test]
fn a_test_sets_bytes_and_text_of_every_type() {
    let mut host = TestHost::<exercise::Exerciser>::new();
    let (key, text) = (String::from("ignore"), String::from("text"));
    host.set(&key, &text).expect_handled();
    host.set(key.as_str(), text.as_str()).expect_handled();
    host.set(key.clone(), text.as_bytes()).expect_handled();
    host.set(std::borrow::Cow::from(&key), b"text").expect_handled();
    host.set(&key, [0, 159]).expect_handled();
    host.set(&key, std::borrow::Cow::from(text.as_bytes())).expect_handled();
    host.delete(&key).expect_handled();
}
