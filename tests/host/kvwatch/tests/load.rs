//! Tests which components are watchers, and the messages for all others.

mod common;

use std::error::Error as _;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use common::{DROP_BOTH, HANDLE_WATCH, component};
use kvwatch::{Engine, Error, Grants, Provider, Watcher};

/// The largest of these components would take minutes without the check.
const SOON: Duration = Duration::from_millis(2_500);

fn load(bytes: &[u8]) -> Result<Watcher, Error> {
    Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", bytes)
}

#[test]
fn a_watcher_lists_its_imports() {
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
        // The component is complete without its last section, which has only names.
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
fn all_unknown_imports_are_listed() {
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

/// The sections of a component that has another one in it, `depth` deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..depth {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        leb128(&mut outer, component.len());
        outer.extend_from_slice(&component);
        component = outer;
    }
    component
}

/// Components that make two instances of each other.
fn doubling(levels: usize) -> Vec<u8> {
    let mut fields = "(component $c0)".to_owned();
    for level in 1..=levels {
        let inner = level - 1;
        let _ = write!(
            fields,
            "(component $c{level} (alias outer 1 $c{inner} (component $c)) \
             (instance (instantiate $c)) (instance (instantiate $c)))"
        );
    }
    component(&format!("{fields} (instance (instantiate $c{levels}))"))
}

#[test]
fn a_component_that_is_too_large_is_refused_before_it_is_compiled() {
    let given = component(
        r#"(component $c (import "c" (component $c)) (instance (instantiate $c)))
           (component $d) (instance (instantiate $c (with "c" (component $d))))"#,
    );
    for (bytes, reason) in [
        (doubling(21), "it makes more than 1000 instances"),
        (doubling(60), "it makes more than 1000 instances"),
        (nested(10_000), "its components are nested more than 32 deep"),
        (component(&"(core module) ".repeat(5_000)), "it has more than 2000 core modules and components"),
        (
            given,
            "it makes an instance of a component that it imports or takes from an instance, which cannot be counted",
        ),
    ] {
        let error = Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", &bytes).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
        assert_eq!(error.to_string(), format!("w.wasm is too large: {reason}; build a smaller component"));
    }
}

/// A component with this number of imports of core modules, and nothing else.
fn imports_of_modules(count: u32) -> Vec<u8> {
    let mut imports = Vec::new();
    leb128(&mut imports, count as usize);
    for number in 0..count {
        let name = format!("m{number}");
        imports.push(0);
        leb128(&mut imports, name.len());
        imports.extend_from_slice(name.as_bytes());
        // A core module, of the type 0.
        imports.extend_from_slice(&[0, 0x11, 0]);
    }
    // A section of types, with the type of an empty module.
    let mut component = b"\0asm\x0d\0\x01\0\x03\x03\x01\x50\0\x0a".to_vec();
    leb128(&mut component, imports.len());
    component.extend_from_slice(&imports);
    component
}

fn leb128(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            break;
        }
    }
}

#[test]
fn a_hundred_thousand_imports_are_read_once() {
    let mut imports = String::new();
    for n in 0..100_000 {
        let _ = write!(imports, "(import \"m{n}\" \"f\" (func))");
    }
    let bytes = component(&format!("(core module {imports})"));
    let begun = Instant::now();
    let anatomy = kvwatch::Anatomy::of(&bytes).unwrap();
    assert_eq!(anatomy.modules[0].imports.len(), 100_000);
    assert!(begun.elapsed() < SOON);

    let error = Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", &imports_of_modules(100_000)).unwrap_err();
    assert!(error.to_string().contains("`m9` and 99990 more"), "{error}");
    assert!(begun.elapsed() < 2 * SOON);
}

#[test]
fn a_stub_names_the_function_that_was_called() {
    let guest = common::mailer();
    let error = Watcher::from_bytes(&Engine::new().unwrap(), "w.wasm", &guest).unwrap_err();
    assert!(matches!(error, Error::UnknownImports { .. }), "{error}");
    assert!(error.to_string().contains("--stub"), "{error}");
    for name in ["acme:mail/send", "acme:mail/send@1.2.0", "acme:mail/send@1.0.0"] {
        let engine = Engine::builder().grants(Grants::new().stub(name)).build().unwrap();
        let mut session = Watcher::from_bytes(&engine, "w.wasm", &guest).unwrap().session().build();
        assert!(session.delete("a").is_handled());
        let cause = session.set("a", &"hello".into()).expect_trapped().cause.to_string();
        assert!(cause.contains("it called `send` of `acme:mail/send@1.2.0`, which is only a stub here"), "{cause}");
    }
}

#[test]
fn a_granted_folder_must_be_there() {
    let error = Engine::builder().grants(Grants::new().dir("/no/such/folder", "/data")).build().unwrap_err();
    assert_eq!(error.to_string(), "cannot read /no/such/folder");
}
