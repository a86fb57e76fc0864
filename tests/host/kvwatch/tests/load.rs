//! What is a watcher, and what is told of what is none.

mod common;

use std::error::Error as _;

use common::{DROP_BOTH, HANDLE_WATCH, component};
use kvwatch::{Engine, Error, Provider, Watcher};

fn load(bytes: &[u8]) -> Result<Watcher, Error> {
    Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", bytes)
}

#[test]
fn a_watcher_tells_what_it_imports() {
    let watcher = load(&common::watcher(DROP_BOTH)).unwrap();
    assert_eq!(watcher.name(), "w.wasm");
    let imports: Vec<_> = watcher.imports().iter().map(|import| (&*import.name, import.provider)).collect();
    assert_eq!(imports, [("wasi:keyvalue/types", Provider::World)]);
}

#[test]
fn a_file_that_is_not_there() {
    let error = Watcher::load(&Engine::new().unwrap(), "no/such.wasm").unwrap_err();
    assert_eq!(error.to_string(), "cannot read no/such.wasm");
    assert!(error.source().is_some());
}

#[test]
fn a_core_module() {
    let error = load(&wat::parse_str("(module)").unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("w.wasm is a core module, not a component: build it with"), "{error}");
}

#[test]
fn no_webassembly() {
    for bytes in [&b""[..], b"\0asm", b"#!/bin/sh", b"(component)"] {
        let error = load(bytes).unwrap_err();
        assert!(matches!(error, Error::NotWasm { .. }), "{error}");
        assert!(error.to_string().starts_with("w.wasm is not WebAssembly"), "{error}");
    }
}

#[test]
fn a_damaged_component() {
    let whole = common::watcher(DROP_BOTH);
    for len in 8..whole.len() {
        // Without its last section, which has names only, it is whole.
        let Err(error) = load(&whole[..len]) else { continue };
        assert!(!matches!(error, Error::NotWasm { .. } | Error::CoreModule { .. }), "{error}");
    }
}

#[test]
fn a_component_without_the_export() {
    let error = load(&component("")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "w.wasm has no `wasi:keyvalue/handle-watch` export: put `#[handle_watch]` on the watcher (it exports nothing)"
    );
    let error = load(&component(r#"(instance $i) (export "wasi:keyvalue/watcher@0.2.0-draft2" (instance $i))"#));
    assert!(error.unwrap_err().to_string().ends_with("(it exports `wasi:keyvalue/watcher@0.2.0-draft2`)"));
}

#[test]
fn unknown_imports_are_all_told() {
    let error = load(&component(
        r#"
        (import "wasi:keyvalue/store@0.2.0-draft2" (instance))
        (import "wasi:blobstore/types@0.2.0" (instance))
        (import "wasi:cli/stdout@0.2.0" (instance))
        "#,
    ));
    let error = error.unwrap_err().to_string();
    let imports = "it imports `wasi:keyvalue/store@0.2.0-draft2`, `wasi:blobstore/types@0.2.0`;";
    assert!(error.contains(imports), "{error}");
}

#[test]
fn an_import_of_another_type() {
    let error = load(&component(
        r#"
        (import "wasi:keyvalue/types" (instance (export "drop-bucket" (func (param "bucket" string)))))
        (instance $i) (export "wasi:keyvalue/handle-watch" (instance $i))
        "#,
    ));
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn an_export_of_another_type() {
    let error = load(&component(r#"(instance $i) (export "wasi:keyvalue/handle-watch" (instance $i))"#));
    assert!(error.unwrap_err().to_string().starts_with("w.wasm does not fit the world"));
}

#[test]
fn a_handler_of_another_type() {
    let watcher = handlers().replace(r#"(param "payload" u32)"#, r#"(param "payload" s32)"#);
    let error = load(&component(&watcher)).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause, "its `on-set` has other parameters or results than the world's");
}

#[test]
fn no_handler_for_deletes() {
    let watcher = handlers().replace(r#"(export "on-delete" (func $on-delete))"#, "");
    let error = load(&component(&watcher)).unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause, "its `wasi:keyvalue/handle-watch` has no function `on-delete`");
}

#[test]
fn the_world_has_all_functions_of_the_draft() {
    load(&component(&format!("{IMPORTS} {}", handlers()))).unwrap();
}

/// Both handlers, which do nothing.
fn handlers() -> String {
    format!(
        r#"
        (core module $module
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
            (func (export "on-set") (param i32 i32 i32 i32))
            (func (export "on-delete") (param i32 i32 i32)))
        (core instance $core (instantiate $module))
        {HANDLE_WATCH}
        "#
    )
}

/// Every function of `wit/`. `new-error` is one that no watcher built with the SDK imports.
const IMPORTS: &str = r#"
    (import "wasi:keyvalue/wasi-io" (instance
        (type $error' (record (field "dummy" u32)))
        (export "stream-error" (type $error (eq $error')))
        (type $read (result (tuple (list u8) bool) (error $error)))
        (type $moved (result (tuple u64 bool) (error $error)))
        (type $written (result u64 (error $error)))
        (export "read" (func (param "src" u32) (param "len" u64) (result $read)))
        (export "skip" (func (param "src" u32) (param "len" u64) (result $moved)))
        (export "write" (func (param "dst" u32) (param "buf" (list u8)) (result $written)))
        (export "write-repeated" (func (param "dst" u32) (param "byte" u8) (param "len" u64) (result $written)))
        (export "splice" (func (param "dst" u32) (param "src" u32) (param "len" u64) (result $moved)))
        (export "forward" (func (param "dst" u32) (param "src" u32) (result $written)))
        (export "drop-input-stream" (func (param "f" u32)))
        (export "drop-output-stream" (func (param "f" u32)))))
    (import "wasi:keyvalue/types" (instance
        (export "drop-bucket" (func (param "bucket" u32)))
        (export "open-bucket" (func (param "name" string) (result (result u32 (error u32)))))
        (export "drop-error" (func (param "error" u32)))
        (export "new-error" (func (result u32)))
        (export "trace" (func (param "error" u32) (result string)))
        (export "drop-value" (func (param "value" u32)))
        (export "new-value" (func (result u32)))
        (export "value-write-body" (func (param "value" u32) (result (result u32))))
        (export "drop-payload" (func (param "payload" u32)))
        (export "payload-consume-sync" (func (param "payload" u32) (result (result (list u8) (error u32)))))
        (export "payload-consume-async" (func (param "payload" u32) (result (result u32 (error u32)))))
        (export "size" (func (param "payload" u32) (result u64)))))
"#;
