//! What is a watcher, and what is told of what is none.

mod common;

use std::error::Error as _;

use common::{DROP_BOTH, component};
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
        (import "wasi:http/types@0.2.0" (instance))
        (import "wasi:cli/stdout@0.2.0" (instance))
        "#,
    ));
    let error = error.unwrap_err().to_string();
    let imports = "it imports `wasi:keyvalue/store@0.2.0-draft2`, `wasi:http/types@0.2.0`;";
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
