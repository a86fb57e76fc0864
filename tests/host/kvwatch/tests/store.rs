//! Watchers that act on the store: every function of the draft's outbound interfaces, called by a component.

#[allow(dead_code, reason = "this test writes its own watchers")]
mod common;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use common::{HANDLE_WATCH, component};
use kvwatch::world::store::{Answer, MemoryStore, Refusing, Store, StoreCall};
use kvwatch::world::{Change, Content};
use kvwatch::{Cause, Engine, Provider, Watched, Watcher};

/// Functions that a component imports: the interface, the name, the type, and the type of the lowered function.
const FUNCTIONS: [(&str, &str, &str, &str); 16] = [
    ("types", "drop-bucket", "(param \"b\" u32)", "(param i32)"),
    ("types", "drop-payload", "(param \"p\" u32)", "(param i32)"),
    ("types", "drop-value", "(param \"v\" u32)", "(param i32)"),
    ("types", "drop-error", "(param \"e\" u32)", "(param i32)"),
    ("types", "new-value", "(result u32)", "(result i32)"),
    ("types", "open-bucket", "(param \"n\" string) (result (result u32 (error u32)))", "(param i32 i32 i32)"),
    (
        "readwrite",
        "get",
        "(param \"b\" u32) (param \"k\" string) (result (result u32 (error u32)))",
        "(param i32 i32 i32 i32)",
    ),
    (
        "readwrite",
        "set",
        "(param \"b\" u32) (param \"k\" string) (param \"v\" u32) (result (result (error u32)))",
        "(param i32 i32 i32 i32 i32)",
    ),
    (
        "readwrite",
        "delete",
        "(param \"b\" u32) (param \"k\" string) (result (result (error u32)))",
        "(param i32 i32 i32 i32)",
    ),
    (
        "readwrite",
        "exists",
        "(param \"b\" u32) (param \"k\" string) (result (result bool (error u32)))",
        "(param i32 i32 i32 i32)",
    ),
    (
        "atomic",
        "increment",
        "(param \"b\" u32) (param \"k\" string) (param \"d\" u64) (result (result u64 (error u32)))",
        "(param i32 i32 i32 i64 i32)",
    ),
    (
        "atomic",
        "compare-and-swap",
        "(param \"b\" u32) (param \"k\" string) (param \"o\" u64) (param \"n\" u64) (result (result bool (error u32)))",
        "(param i32 i32 i32 i64 i64 i32)",
    ),
    (
        "batch",
        "get-many",
        "(param \"b\" u32) (param \"k\" (list string)) (result (result (list u32) (error u32)))",
        "(param i32 i32 i32 i32)",
    ),
    ("batch", "get-keys", "(param \"b\" u32) (result (list string))", "(param i32 i32)"),
    (
        "batch",
        "set-many",
        "(param \"b\" u32) (param \"k\" (list string)) (param \"v\" (list (tuple string u32))) (result (result (error u32)))",
        "(param i32 i32 i32 i32 i32 i32)",
    ),
    (
        "batch",
        "delete-many",
        "(param \"b\" u32) (param \"k\" (list string)) (result (result (error u32)))",
        "(param i32 i32 i32 i32)",
    ),
];

/// A component whose `on-set` is this WebAssembly, with every function of the interfaces and a few of `types`.
///
/// The data begins with the texts `a`, `n`, `c` and `other`, at 0, 1, 2 and 3. At 16 is the list of the keys `a` and `n`, at 32 that
/// of `a` and `c`. `$result` is where calls write their results, and `$must` traps unless its parameter is 1.
fn acting(on_set: &str) -> Vec<u8> {
    let for_each = |text: &dyn Fn(&str, &str, &str, &str) -> String| {
        FUNCTIONS
            .iter()
            .map(|(interface, name, ty, core)| text(interface, name, ty, core))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let exports = |of: &str| {
        for_each(&|interface, name, ty, _| {
            if interface == of { format!("(export \"{name}\" (func {ty}))") } else { String::new() }
        })
    };
    let imports = ["types", "readwrite", "atomic", "batch"].map(|interface| {
        format!("(import \"wasi:keyvalue/{interface}\" (instance ${interface} {}))", exports(interface))
    });
    let imports = imports.join("\n");
    let lowered = for_each(&|interface, name, _, _| {
        format!(
            "(core func ${name} (canon lower (func ${interface} \"{name}\") (memory $libc \"memory\") \
             (realloc (func $libc \"realloc\"))))"
        )
    });
    let used = for_each(&|_, name, _, core| format!("(import \"host\" \"{name}\" (func ${name} {core}))"));
    let given = for_each(&|_, name, _, _| format!("(export \"{name}\" (func ${name}))"));
    component(&format!(
        r#"
        {imports}
        (core module $libc
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 4096))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3)))))
        (core instance $libc (instantiate $libc))
        {lowered}
        (core module $module
            (import "libc" "memory" (memory 1))
            (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
            (export "memory" (memory 0))
            (export "realloc" (func $realloc))
            {used}
            (data (i32.const 0) "ancother")
            (data (i32.const 16) "\00\00\00\00\01\00\00\00\01\00\00\00\01\00\00\00")
            (data (i32.const 32) "\00\00\00\00\01\00\00\00\02\00\00\00\01\00\00\00")
            (global $result i32 (i32.const 1024))
            (func $must (param i32) (if (i32.ne (local.get 0) (i32.const 1)) (then unreachable)))
            (func $worked (call $must (i32.eqz (i32.load8_u (global.get $result)))))
            (func $four (result i32) (i32.load offset=4 (global.get $result)))
            (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
                (local $value i32) (local $other i32)
                (call $drop-payload (local.get $payload))
                {on_set}
                (call $drop-bucket (local.get $bucket)))
            (func (export "on-delete") (param $bucket i32) (param $key i32) (param $len i32)
                (call $drop-bucket (local.get $bucket))))
        (core instance $core (instantiate $module (with "libc" (instance $libc)) (with "host" (instance {given}))))
        {HANDLE_WATCH}
        "#
    ))
}

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
        .changes
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
