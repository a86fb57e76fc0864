//! Watchers that are written by hand. They do things that no watcher with the SDK does.

/// A component whose `on-set` is this WebAssembly.
///
/// It has the locals `$bucket`, `$key`, `$len` and `$payload`, the functions `$drop-bucket` and `$drop-payload`, the global
/// `$events` and a memory of one page. `on-delete` is correct.
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

/// The export `handle-watch`, from the core instance `$core`.
pub(crate) const HANDLE_WATCH: &str = r#"
    (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
        (canon lift (core func $core "on-set") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (func $on-delete (param "bucket" u32) (param "key" string)
        (canon lift (core func $core "on-delete") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
    (export "wasi:keyvalue/handle-watch" (instance $watch))
"#;

/// The code of a correct `on-set`: it drops both handles.
pub(crate) const DROP_BOTH: &str = "(call $drop-payload (local.get $payload)) (call $drop-bucket (local.get $bucket))";

/// A component with these fields.
pub(crate) fn component(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {fields})")).unwrap()
}

/// A component whose `on-set` writes `bytes` to `stream` (`stdout` or `stderr`) this many `times`. It can write at most 4 KiB of
/// bytes.
#[allow(dead_code, reason = "not every test prints")]
pub(crate) fn printer(stream: &str, bytes: &[u8], times: u32) -> Vec<u8> {
    printer_that(stream, bytes, times, "")
}

/// A [`printer`] whose `on-set` then does `afterwards`, instructions of WebAssembly.
#[allow(dead_code, reason = "not every test prints")]
pub(crate) fn printer_that(stream: &str, bytes: &[u8], times: u32, afterwards: &str) -> Vec<u8> {
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
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
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
                    (br_if $again (local.get $left)))
                {afterwards})
            (func (export "on-delete") (param $bucket i32) (param $key i32) (param $len i32)
                (call $drop-bucket (local.get $bucket))))
        (core instance $main (instantiate $module (with "libc" (instance $libc)) (with "host" (instance
            (export "drop-bucket" (func $drop-bucket))
            (export "drop-payload" (func $drop-payload))
            (export "get" (func $get))
            (export "write" (func $write))))))
        (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
            (canon lift (core func $main "on-set") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (func $on-delete (param "bucket" u32) (param "key" string)
            (canon lift (core func $main "on-delete") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
        (export "wasi:keyvalue/handle-watch" (instance $watch))
        "#
    ))
}

/// A watcher that reads its payload in pieces of 64 KiB. It hides a failure of the host: it stops to read, and returns.
#[allow(dead_code, reason = "not every test reads")]
pub(crate) fn reader() -> Vec<u8> {
    component(&format!(
        r#"
        (import "wasi:keyvalue/wasi-io" (instance $io
            (type $e (record (field "dummy" u32)))
            (export "stream-error" (type $error (eq $e)))
            (export "read"
                (func (param "src" u32) (param "len" u64) (result (result (tuple (list u8) bool) (error $error)))))
            (export "drop-input-stream" (func (param "f" u32)))))
        (import "wasi:keyvalue/types" (instance $types
            (export "drop-bucket" (func (param "bucket" u32)))
            (export "drop-error" (func (param "error" u32)))
            (export "payload-consume-async" (func (param "payload" u32) (result (result u32 (error u32)))))))
        (core module $libc (memory (export "memory") 3)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $libc (instantiate $libc))
        (core func $read (canon lower (func $io "read")
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core func $drop-input (canon lower (func $io "drop-input-stream")))
        (core func $drop-bucket (canon lower (func $types "drop-bucket")))
        (core func $drop-error (canon lower (func $types "drop-error")))
        (core func $consume (canon lower (func $types "payload-consume-async") (memory (core memory $libc "memory"))))
        (core module $module
            (import "libc" "memory" (memory 3))
            (import "w" "read" (func $read (param i32 i64 i32)))
            (import "w" "drop-input" (func $drop-input (param i32)))
            (import "w" "drop-bucket" (func $drop-bucket (param i32)))
            (import "w" "drop-error" (func $drop-error (param i32)))
            (import "w" "consume" (func $consume (param i32 i32)))
            (export "memory" (memory 0))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
                (call $drop-bucket (local.get $bucket))
                (call $consume (local.get $payload) (i32.const 16))
                (if (i32.load8_u (i32.const 16)) (then (call $drop-error (i32.load (i32.const 20))) (return)))
                (block $failed (loop $again
                    (call $read (i32.load (i32.const 20)) (i64.const 65536) (i32.const 32))
                    (br_if $failed (i32.load8_u (i32.const 32)))
                    (br_if $again (i32.eqz (i32.load8_u (i32.const 44))))))
                (call $drop-input (i32.load (i32.const 20))))
            (func (export "on-delete") (param $bucket i32) (param i32 i32)
                (call $drop-bucket (local.get $bucket))))
        (core instance $core (instantiate $module (with "libc" (instance $libc)) (with "w" (instance
            (export "read" (func $read)) (export "drop-input" (func $drop-input))
            (export "drop-bucket" (func $drop-bucket)) (export "drop-error" (func $drop-error)) (export "consume" (func $consume))))))
        {HANDLE_WATCH}
        "#
    ))
}

/// A watcher that imports a function that no host offers, and calls it at a set.
#[allow(dead_code, reason = "not every test needs a stub")]
pub(crate) fn mailer() -> Vec<u8> {
    component(&format!(
        r#"
        (import "acme:mail/send@1.2.0" (instance $mail
            (export "message" (type $m (sub resource)))
            (export "send" (func))))
        (core func $send (canon lower (func $mail "send")))
        (core module $module
            (import "mail" "send" (func $send))
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param i32 i32 i32 i32) (call $send))
            (func (export "on-delete") (param i32 i32 i32)))
        (core instance $core (instantiate $module (with "mail" (instance (export "send" (func $send))))))
        {HANDLE_WATCH}
        "#
    ))
}

/// A component whose `on-set` writes this text to a `Value`. It is the text of a string of WebAssembly, at most 1 KiB.
#[allow(dead_code, reason = "not every test writes")]
pub(crate) fn writer(text: &str) -> Vec<u8> {
    component(&format!(
        r#"
        (import "wasi:keyvalue/wasi-io" (instance $io
            (type $e (record (field "dummy" u32)))
            (export "stream-error" (type $error (eq $e)))
            (export "write" (func (param "dst" u32) (param "buf" (list u8)) (result (result u64 (error $error)))))
            (export "drop-output-stream" (func (param "f" u32)))))
        (import "wasi:keyvalue/types" (instance $types
            (export "drop-bucket" (func (param "bucket" u32)))
            (export "drop-payload" (func (param "payload" u32)))
            (export "new-value" (func (result u32)))
            (export "drop-value" (func (param "value" u32)))
            (export "value-write-body" (func (param "value" u32) (result (result u32))))))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (core func $write (canon lower (func $io "write") (memory (core memory $libc "memory"))))
        (core func $drop-output (canon lower (func $io "drop-output-stream")))
        (core func $drop-bucket (canon lower (func $types "drop-bucket")))
        (core func $drop-payload (canon lower (func $types "drop-payload")))
        (core func $new-value (canon lower (func $types "new-value")))
        (core func $drop-value (canon lower (func $types "drop-value")))
        (core func $body (canon lower (func $types "value-write-body") (memory (core memory $libc "memory"))))
        (core module $module
            (import "libc" "memory" (memory 1))
            (import "w" "write" (func $write (param i32 i32 i32 i32)))
            (import "w" "drop-output" (func $drop-output (param i32)))
            (import "w" "drop-bucket" (func $drop-bucket (param i32)))
            (import "w" "drop-payload" (func $drop-payload (param i32)))
            (import "w" "new-value" (func $new-value (result i32)))
            (import "w" "drop-value" (func $drop-value (param i32)))
            (import "w" "body" (func $body (param i32 i32)))
            (data (i32.const 4096) "{text}\00")
            (export "memory" (memory 0))
            (func $length (result i32) (local $at i32)
                (local.set $at (i32.const 4096))
                (loop $again
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $again (i32.load8_u (local.get $at))))
                (i32.sub (local.get $at) (i32.const 4096)))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param $bucket i32) (param i32 i32) (param $payload i32) (local $value i32)
                (call $drop-payload (local.get $payload))
                (call $drop-bucket (local.get $bucket))
                (local.set $value (call $new-value))
                (call $body (local.get $value) (i32.const 16))
                (call $write (i32.load (i32.const 20)) (i32.const 4096) (call $length) (i32.const 32))
                (call $drop-output (i32.load (i32.const 20)))
                (call $drop-value (local.get $value)))
            (func (export "on-delete") (param $bucket i32) (param i32 i32)
                (call $drop-bucket (local.get $bucket))))
        (core instance $core (instantiate $module (with "libc" (instance $libc)) (with "w" (instance
            (export "write" (func $write)) (export "drop-output" (func $drop-output))
            (export "drop-bucket" (func $drop-bucket)) (export "drop-payload" (func $drop-payload))
            (export "new-value" (func $new-value)) (export "drop-value" (func $drop-value))
            (export "body" (func $body))))))
        {HANDLE_WATCH}
        "#
    ))
}
