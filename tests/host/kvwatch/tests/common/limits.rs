//! Watchers that use too much time, too much memory or too many handles.

use crate::common::{HANDLE_WATCH, component};

/// A watcher whose `on-set` waits for a clock, for this number of nanoseconds.
pub(crate) fn sleeper(nanoseconds: u64) -> Vec<u8> {
    component(&format!(
        r#"
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (export "pollable" (type $p (eq $pollable)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core func $drop (canon resource.drop $pollable))
        (core module $module
            (import "w" "block" (func $block (param i32)))
            (import "w" "subscribe" (func $subscribe (param i64) (result i32)))
            (import "w" "drop" (func $drop (param i32)))
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param i32 i32 i32 i32) (local $pollable i32)
                (local.set $pollable (call $subscribe (i64.const {nanoseconds})))
                (call $block (local.get $pollable))
                (call $drop (local.get $pollable)))
            (func (export "on-delete") (param i32 i32 i32)))
        (core instance $core (instantiate $module (with "w" (instance
            (export "block" (func $block))
            (export "subscribe" (func $subscribe))
            (export "drop" (func $drop))))))
        {HANDLE_WATCH}
        "#
    ))
}

/// A watcher that does nothing. Its module has these fields, and the component has `before` in front of the module.
pub(crate) fn idle(before: &str, fields: &str) -> Vec<u8> {
    component(&format!(
        r#"
        {before}
        (core module $module
            (memory (export "memory") 1)
            {fields}
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param i32 i32 i32 i32))
            (func (export "on-delete") (param i32 i32 i32)))
        (core instance $core (instantiate $module))
        {HANDLE_WATCH}
        "#
    ))
}

/// A watcher whose `on-set` is this WebAssembly, with the world's functions for values and streams.
pub(crate) fn maker(on_set: &str) -> Vec<u8> {
    component(&format!(
        r#"
        (import "wasi:keyvalue/wasi-io" (instance $io
            (type $e (record (field "dummy" u32)))
            (export "stream-error" (type $error (eq $e)))
            (export "write-repeated"
                (func (param "dst" u32) (param "byte" u8) (param "len" u64) (result (result u64 (error $error)))))
            (export "forward" (func (param "dst" u32) (param "src" u32) (result (result u64 (error $error)))))
            (export "skip" (func (param "src" u32) (param "len" u64) (result (result (tuple u64 bool) (error $error)))))
            (export "drop-output-stream" (func (param "f" u32)))))
        (import "wasi:keyvalue/types" (instance $types
            (export "new-error" (func (result u32)))
            (export "new-value" (func (result u32)))
            (export "drop-value" (func (param "value" u32)))
            (export "value-write-body" (func (param "value" u32) (result (result u32))))
            (export "payload-consume-async" (func (param "payload" u32) (result (result u32 (error u32)))))))
        (core module $libc (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
        (core instance $libc (instantiate $libc))
        (core func $repeat (canon lower (func $io "write-repeated") (memory (core memory $libc "memory"))))
        (core func $forward (canon lower (func $io "forward") (memory (core memory $libc "memory"))))
        (core func $skip (canon lower (func $io "skip") (memory (core memory $libc "memory"))))
        (core func $drop-output (canon lower (func $io "drop-output-stream")))
        (core func $new-error (canon lower (func $types "new-error")))
        (core func $new-value (canon lower (func $types "new-value")))
        (core func $drop-value (canon lower (func $types "drop-value")))
        (core func $body (canon lower (func $types "value-write-body") (memory (core memory $libc "memory"))))
        (core func $consume (canon lower (func $types "payload-consume-async") (memory (core memory $libc "memory"))))
        (core module $module
            (import "libc" "memory" (memory 1))
            (import "w" "repeat" (func $repeat (param i32 i32 i64 i32)))
            (import "w" "forward" (func $forward (param i32 i32 i32)))
            (import "w" "skip" (func $skip (param i32 i64 i32)))
            (import "w" "drop-output" (func $drop-output (param i32)))
            (import "w" "new-error" (func $new-error (result i32)))
            (import "w" "new-value" (func $new-value (result i32)))
            (import "w" "drop-value" (func $drop-value (param i32)))
            (import "w" "body" (func $body (param i32 i32)))
            (import "w" "consume" (func $consume (param i32 i32)))
            (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
                (local $value i32) (local $stream i32)
                {on_set})
            (func (export "on-delete") (param i32 i32 i32)))
        (core instance $core (instantiate $module (with "libc" (instance $libc)) (with "w" (instance
            (export "repeat" (func $repeat)) (export "forward" (func $forward)) (export "skip" (func $skip))
            (export "drop-output" (func $drop-output)) (export "new-error" (func $new-error))
            (export "new-value" (func $new-value)) (export "drop-value" (func $drop-value))
            (export "body" (func $body)) (export "consume" (func $consume))))))
        (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
            (canon lift (core func $core "on-set") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (func $on-delete (param "bucket" u32) (param "key" string)
            (canon lift (core func $core "on-delete") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
        (export "wasi:keyvalue/handle-watch" (instance $watch))
        "#
    ))
}

/// Makes a value and its stream, whose handle is then in `$stream`.
pub(crate) const NEW_BODY: &str = "(local.set $value (call $new-value)) (call $body (local.get $value) (i32.const 8)) \
     (local.set $stream (i32.load (i32.const 12)))";

/// Writes the largest possible number of bytes.
pub(crate) const FILL: &str = "(call $repeat (local.get $stream) (i32.const 120) (i64.const -1) (i32.const 16))";
