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

/// A component whose `on-set` writes `bytes` to `stream` (`stdout` or `stderr`) so many `times`. At most 4 KiB of bytes.
#[allow(dead_code, reason = "not every test prints")]
pub(crate) fn printer(stream: &str, bytes: &[u8], times: u32) -> Vec<u8> {
    use std::fmt::Write as _;
    let len = bytes.len();
    let data = bytes.iter().fold(String::new(), |mut data, byte| {
        let _ = write!(data, "\\{byte:02x}");
        data
    });
    component(&format!(
        r#"
        (import "wasi:keyvalue/types" (instance $types
            (export "drop-bucket" (func (param "bucket" u32)))
            (export "drop-payload" (func (param "payload" u32)))))
        (import "wasi:io/error@0.2.0" (instance $error-i (export "error" (type (sub resource)))))
        (alias export $error-i "error" (type $error))
        (import "wasi:io/streams@0.2.0" (instance $streams
            (alias outer 1 $error (type $e0))
            (export "error" (type $e (eq $e0)))
            (export "output-stream" (type $os (sub resource)))
            (type $se0 (variant (case "last-operation-failed" (own $e)) (case "closed")))
            (export "stream-error" (type $se (eq $se0)))
            (export "[method]output-stream.blocking-write-and-flush"
                (func (param "self" (borrow $os)) (param "contents" (list u8)) (result (result (error $se)))))))
        (alias export $streams "output-stream" (type $output-stream))
        (import "wasi:cli/{stream}@0.2.0" (instance $std
            (alias outer 1 $output-stream (type $o0))
            (export "output-stream" (type $o (eq $o0)))
            (export "get-{stream}" (func (result (own $o))))))
        (core module $libc (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $libc (instantiate $libc))
        (core func $drop-bucket (canon lower (func $types "drop-bucket")))
        (core func $drop-payload (canon lower (func $types "drop-payload")))
        (core func $get (canon lower (func $std "get-{stream}")))
        (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
            (memory $libc "memory") (realloc (func $libc "realloc"))))
        (core module $module
            (import "libc" "memory" (memory 1))
            (import "host" "drop-bucket" (func $drop-bucket (param i32)))
            (import "host" "drop-payload" (func $drop-payload (param i32)))
            (import "host" "get" (func $get (result i32)))
            (import "host" "write" (func $write (param i32 i32 i32 i32)))
            (data (i32.const 4096) "{data}")
            (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
                (local $stream i32) (local $left i32)
                (call $drop-payload (local.get $payload))
                (call $drop-bucket (local.get $bucket))
                (local.set $stream (call $get))
                (local.set $left (i32.const {times}))
                (loop $again
                    (call $write (local.get $stream) (i32.const 4096) (i32.const {len}) (i32.const 16))
                    (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                    (br_if $again (local.get $left))))
            (func (export "on-delete") (param $bucket i32) (param $key i32) (param $len i32)
                (call $drop-bucket (local.get $bucket))))
        (core instance $main (instantiate $module (with "libc" (instance $libc)) (with "host" (instance
            (export "drop-bucket" (func $drop-bucket))
            (export "drop-payload" (func $drop-payload))
            (export "get" (func $get))
            (export "write" (func $write))))))
        (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
            (canon lift (core func $main "on-set") (memory $libc "memory") (realloc (func $libc "realloc"))))
        (func $on-delete (param "bucket" u32) (param "key" string)
            (canon lift (core func $main "on-delete") (memory $libc "memory") (realloc (func $libc "realloc"))))
        (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
        (export "wasi:keyvalue/handle-watch" (instance $watch))
        "#
    ))
}
