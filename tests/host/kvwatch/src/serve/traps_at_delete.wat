(component
    (import "wasi:keyvalue/types" (instance $types
        (export "drop-bucket" (func (param "bucket" u32)))
        (export "drop-payload" (func (param "payload" u32)))))
    (core func $drop-bucket (canon lower (func $types "drop-bucket")))
    (core func $drop-payload (canon lower (func $types "drop-payload")))
    (core module $module
        (import "types" "drop-bucket" (func $drop-bucket (param i32)))
        (import "types" "drop-payload" (func $drop-payload (param i32)))
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "on-set") (param $bucket i32) (param $key i32) (param $len i32) (param $payload i32)
            (call $drop-payload (local.get $payload))
            (call $drop-bucket (local.get $bucket)))
        (func (export "on-delete") (param $bucket i32) (param $key i32) (param $len i32) unreachable))
    (core instance $core (instantiate $module (with "types" (instance
        (export "drop-bucket" (func $drop-bucket))
        (export "drop-payload" (func $drop-payload))))))
    (func $on-set (param "bucket" u32) (param "key" string) (param "payload" u32)
        (canon lift (core func $core "on-set") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (func $on-delete (param "bucket" u32) (param "key" string)
        (canon lift (core func $core "on-delete") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
    (instance $watch (export "on-set" (func $on-set)) (export "on-delete" (func $on-delete)))
    (export "wasi:keyvalue/handle-watch" (instance $watch)))
