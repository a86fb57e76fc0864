//! Watchers written by hand, for what no watcher built with the SDK does.

/// A component whose `on-set` is this WebAssembly.
///
/// It has the locals `$bucket`, `$key`, `$len` and `$payload`, the functions `$drop-bucket` and `$drop-payload`, the global
/// `$events` and a memory of one page. `on-delete` does what is right.
pub(crate) fn watcher(on_set: &str) -> Vec<u8> {
    component(&format!(
        r#"
        (import "wasi:keyvalue/types" (instance $types
            (export "drop-bucket" (func (param "bucket" u32)))
            (export "drop-payload" (func (param "payload" u32)))))
        (core func $drop-bucket (canon lower (func $types "drop-bucket")))
        (core func $drop-payload (canon lower (func $types "drop-payload")))
        (core module $module
            (import "types" "drop-bucket" (func $drop-bucket (param i32)))
            (import "types" "drop-payload" (func $drop-payload (param i32)))
            (memory (export "memory") 1)
            (global $events (mut i32) (i32.const 0))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
                (global.set $events (i32.add (global.get $events) (i32.const 1)))
                {on_set})
            (func (export "on-delete") (param $bucket i32) (param $key i32) (param $len i32)
                (call $drop-bucket (local.get $bucket))))
        (core instance $core (instantiate $module (with "types" (instance
            (export "drop-bucket" (func $drop-bucket))
            (export "drop-payload" (func $drop-payload))))))
        {HANDLE_WATCH}
        "#
    ))
}

/// The export, of what the core instance `$core` has.
pub(crate) const HANDLE_WATCH: &str = r#"
    (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
        (canon lift (core func $core "on-set") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (func $on-delete (param "bucket" u32) (param "key" string)
        (canon lift (core func $core "on-delete") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
    (export "wasi:keyvalue/handle-watch" (instance $watch))
"#;

/// What a well-behaved `on-set` does with what it is given.
pub(crate) const DROP_BOTH: &str = "(call $drop-payload (local.get $payload)) (call $drop-bucket (local.get $bucket))";

/// A component of this text.
pub(crate) fn component(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {fields})")).unwrap()
}
