//! A watcher written by hand that acts on the store.

use crate::common::{HANDLE_WATCH, component};

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

/// Calls every function once or more, at an event whose key begins with `k`, and traps if one of them fails or has another result than
/// the draft says. The bucket has no other key before. Afterwards it has the number 51 under `n`, and neither `a` nor `c`; the bucket
/// `1` has 7 under `c`.
#[allow(dead_code, reason = "not every test serves it")]
pub(crate) const EVERY_FUNCTION: &str = r"
    (if (i32.eq (i32.load8_u (local.get $key)) (i32.const 0x6b)) (then
        (local.set $value (call $new-value))
        (call $set (local.get $bucket) (i32.const 0) (i32.const 1) (local.get $value) (global.get $result))
        (call $worked)
        (call $drop-value (local.get $value))
        (call $exists (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
        (call $worked)
        (call $must (i32.load8_u offset=4 (global.get $result)))
        (call $get (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
        (call $worked)
        (call $drop-payload (call $four))

        (call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 40) (global.get $result))
        (call $worked)
        (call $must (i64.eq (i64.load offset=8 (global.get $result)) (i64.const 40)))
        (call $compare-and-swap (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 40) (i64.const 50)
            (global.get $result))
        (call $worked)
        (call $must (i32.load8_u offset=4 (global.get $result)))
        (call $compare-and-swap (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (i64.const 2)
            (global.get $result))
        (call $worked)
        (call $must (i32.eqz (i32.load8_u offset=4 (global.get $result))))

        ;; The keys `a` and `n`.
        (call $get-many (local.get $bucket) (i32.const 16) (i32.const 2) (global.get $result))
        (call $worked)
        (call $must (i32.eq (i32.load offset=8 (global.get $result)) (i32.const 2)))
        (local.set $other (call $four))
        (call $drop-payload (i32.load (local.get $other)))
        (call $drop-payload (i32.load offset=4 (local.get $other)))
        ;; The keys `a` and `c`, each with a value.
        (i64.store (i32.const 64) (i64.load (i32.const 32)))
        (i32.store (i32.const 72) (call $new-value))
        (i64.store (i32.const 76) (i64.load (i32.const 40)))
        (i32.store (i32.const 84) (call $new-value))
        (call $set-many (local.get $bucket) (i32.const 32) (i32.const 2) (i32.const 64) (i32.const 2)
            (global.get $result))
        (call $worked)
        (call $drop-value (i32.load (i32.const 72)))
        (call $drop-value (i32.load (i32.const 84)))
        ;; The keys are `a`, `c`, `n` and that of the event.
        (call $get-keys (local.get $bucket) (global.get $result))
        (call $must (i32.eq (call $four) (i32.const 4)))

        (call $delete (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
        (call $worked)
        (call $delete-many (local.get $bucket) (i32.const 32) (i32.const 2) (global.get $result))
        (call $worked)
        (call $exists (local.get $bucket) (i32.const 2) (i32.const 1) (global.get $result))
        (call $worked)
        (call $must (i32.eqz (i32.load8_u offset=4 (global.get $result))))

        ;; The bucket `1`.
        (i32.store8 (i32.const 96) (i32.const 0x31))
        (call $open-bucket (i32.const 96) (i32.const 1) (global.get $result))
        (call $worked)
        (local.set $other (call $four))
        (call $increment (local.get $other) (i32.const 2) (i32.const 1) (i64.const 7) (global.get $result))
        (call $worked)
        (call $drop-bucket (local.get $other))
        (call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
        (call $worked)))
";

/// At an event whose key begins with `k`, asks for the key `a` again and again until it exists, and then adds 1 to the number under `n`.
#[allow(dead_code, reason = "not every test serves it")]
pub(crate) const WAITS_FOR_A_KEY: &str = r"
    (if (i32.eq (i32.load8_u (local.get $key)) (i32.const 0x6b)) (then
        (loop $again
            (call $exists (local.get $bucket) (i32.const 0) (i32.const 1) (global.get $result))
            (call $worked)
            (br_if $again (i32.eqz (i32.load8_u offset=4 (global.get $result)))))
        (call $increment (local.get $bucket) (i32.const 1) (i32.const 1) (i64.const 1) (global.get $result))
        (call $worked)))
";

/// A component whose `on-set` is this WebAssembly, with every function of the interfaces and a few of `types`.
///
/// The data begins with the texts `a`, `n`, `c` and `other`, at 0, 1, 2 and 3. At 16 is the list of the keys `a` and `n`, at 32 that
/// of `a` and `c`. `$result` is where calls write their results, and `$must` traps unless its parameter is 1.
pub(crate) fn acting(on_set: &str) -> Vec<u8> {
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
            "(core func ${name} (canon lower (func ${interface} \"{name}\") (memory (core memory $libc \"memory\")) \
             (realloc (core func $libc \"realloc\"))))"
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
