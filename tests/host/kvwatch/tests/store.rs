//! Tests every function of the draft's outbound interfaces, called by a component.

#[allow(dead_code, reason = "this test writes its own watchers")]
mod common;

#[path = "common/acting.rs"]
mod acting;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use acting::acting;
use kvwatch::world::store::{Answer, MemoryStore, Refusing, Store, StoreCall};
use kvwatch::world::{Change, Content};
use kvwatch::{Cause, Engine, Provider, Watched, Watcher};

const EVERY_FUNCTION: &str = r"
    (local.set $value (call $new-value))
    (call $set (local.get $bucket) (i32.const 0) (i32.const 1) (local.get $value) (global.get $result))
    (call $worked)
    (call $exists (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
    (call $worked)
    (call $must (i32.load8_u offset=4 (global.get $result)))
    (call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 5) (global.get $result))
    (call $worked)
    (call $must (i64.eq (i64.load offset=8 (global.get $result)) (i64.const 5)))
    (call $compare-and-swap (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 5) (i64.const 7) (global.get $result))
    (call $worked)
    (call $must (i32.load8_u offset=4 (global.get $result)))
    (call $get (local.get $bucket) (i32.const 1) (i32.const 1) (global.get $result))
    (call $worked)
    (call $drop-payload (call $four))
    (call $get-many (local.get $bucket) (i32.const 16) (i32.const 2) (global.get $result))
    (call $worked)
    (call $must (i32.eq (i32.load offset=8 (global.get $result)) (i32.const 2)))
    (call $drop-payload (i32.load (call $four)))
    (call $drop-payload (i32.load offset=4 (call $four)))
    (i64.store (i32.const 64) (i64.const 0x100000000))
    (i32.store (i32.const 72) (local.get $value))
    (i64.store (i32.const 76) (i64.const 0x100000002))
    (i32.store (i32.const 84) (local.get $value))
    (call $set-many (local.get $bucket) (i32.const 32) (i32.const 2) (i32.const 64) (i32.const 2) (global.get $result))
    (call $worked)
    (call $get-keys (local.get $bucket) (global.get $result))
    (call $must (i32.eq (call $four) (i32.const 4)))
    (call $delete (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
    (call $worked)
    (call $delete (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
    (call $must (i32.load8_u (global.get $result)))
    (call $drop-error (call $four))
    (call $delete-many (local.get $bucket) (i32.const 32) (i32.const 2) (global.get $result))
    (call $worked)
    (call $open-bucket (i32.const 3) (i32.const 5) (global.get $result))
    (call $worked)
    (local.set $other (call $four))
    (call $increment (local.get $other) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
    (call $worked)
    (call $drop-bucket (local.get $other))
    (call $drop-value (local.get $value))
";

fn load(engine: &Engine, on_set: &str) -> Watcher {
    Watcher::from_bytes(engine, "acting.wasm", &acting(on_set)).unwrap()
}

#[test]
fn every_function_reaches_the_store() {
    let watcher = load(&Engine::new().unwrap(), EVERY_FUNCTION);
    let store: Vec<_> = watcher.imports().iter().filter(|import| import.provider == Provider::Store).collect();
    assert_eq!(store.len(), 3, "{store:?}");
    let mut orders = Watched::new(watcher.session(), "orders");
    let outcome = orders.set("k", &"text".into());
    outcome.expect_handled();
    let changes: Vec<_> = outcome
        .changes()
        .iter()
        .map(|change| {
            let content = match &change.event.change {
                Change::Set(content) => Some(content.read(0, 99).unwrap()),
                Change::Delete => None,
            };
            (&*change.bucket, &*change.event.key, content)
        })
        .collect();
    let due = [
        ("orders", "a", Some("")),
        ("orders", "n", Some("5")),
        ("orders", "n", Some("7")),
        ("orders", "a", Some("")),
        ("orders", "c", Some("")),
        ("orders", "a", None),
        ("orders", "a", None),
        ("orders", "c", None),
        ("other", "n", Some("1")),
    ];
    assert_eq!(changes, due.map(|(bucket, key, content)| (bucket, key, content.map(|text| text.as_bytes().to_vec()))));
    assert_eq!(outcome.change_count, 9);
    assert_eq!(
        (orders.store().keys("orders"), orders.store().keys("other")),
        (vec!["k".into(), "n".into()], vec!["n".into()])
    );
}

#[test]
fn each_instance_and_each_watcher_after_it_has_the_same_store() {
    let increment =
        "(call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 2) (global.get $result))
        (call $worked)";
    let engine = Engine::builder().time_limit(Duration::from_mins(1)).build().unwrap();
    let mut orders = Watched::new(load(&engine, increment).session(), "orders");
    orders.set("k", &"".into()).expect_handled();
    orders.session_mut().renew();
    orders.set("k", &"".into()).expect_handled();
    orders.session_mut().replace(load(&engine, increment));
    orders.set("k", &"".into()).expect_handled();
    assert_eq!(orders.store().get("orders", "n").unwrap().read(0, 9).unwrap(), b"6");
}

#[test]
fn a_store_that_refuses_keys_ends_the_event_with_its_reason() {
    let watcher = load(&Engine::new().unwrap(), "(call $get-keys (local.get $bucket) (global.get $result))");
    let store = Refusing::new(Arc::new(MemoryStore::new()));
    store.refuse_next(StoreCall::GetKeys, "it is being moved");
    let mut session = watcher.session().store(Arc::new(store)).build();
    let trapped = session.set("k", &"".into()).expect_trapped();
    assert!(trapped.to_string().contains("it is being moved"), "{trapped}");
    session.set("k", &"".into()).expect_handled();
}

/// A store that never answers.
#[derive(Debug)]
struct Silent;

impl Silent {
    fn answer<T: 'static>() -> Answer<T> {
        Answer::later(pending())
    }
}

impl Store for Silent {
    fn open(&self, _: &str) -> Answer<()> {
        Self::answer()
    }

    fn get(&self, _: &str, _: &str) -> Answer<Content> {
        Self::answer()
    }

    fn set(&self, _: &str, _: &str, _: Content) -> Answer<()> {
        Self::answer()
    }

    fn delete(&self, _: &str, _: &str) -> Answer<()> {
        Self::answer()
    }

    fn exists(&self, _: &str, _: &str) -> Answer<bool> {
        Self::answer()
    }

    fn increment(&self, _: &str, _: &str, _: u64) -> Answer<u64> {
        Self::answer()
    }

    fn compare_and_swap(&self, _: &str, _: &str, _: u64, _: u64) -> Answer<bool> {
        Self::answer()
    }

    fn get_many(&self, _: &str, _: &[&str]) -> Answer<Vec<Content>> {
        Self::answer()
    }

    fn keys(&self, _: &str) -> Answer<Vec<String>> {
        Self::answer()
    }

    fn set_many(&self, _: &str, _: Vec<(String, Content)>) -> Answer<()> {
        Self::answer()
    }

    fn delete_many(&self, _: &str, _: &[&str]) -> Answer<()> {
        Self::answer()
    }
}

#[test]
fn a_store_that_never_answers_ends_with_the_time_limit() {
    let limit = Duration::from_millis(50);
    let engine = Engine::builder().time_limit(limit).build().unwrap();
    let get = "(call $get (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))";
    let open = "(call $open-bucket (i32.const 3) (i32.const 5) (global.get $result))";
    for call in [get, open] {
        let mut session = load(&engine, call).session().store(Arc::new(Silent)).build();
        assert_eq!(session.set("k", &"".into()).expect_trapped().cause, Cause::Time(limit));
    }
}
