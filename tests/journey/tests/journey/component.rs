//! The imports and exports of a component.

use wit_component::{ComponentEncoder, DecodedWasm};

/// The interfaces of a component, by their full names.
#[derive(Debug)]
pub(crate) struct Interfaces {
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
}

/// All interfaces that the world imports.
const WORLD: [&str; 2] = ["wasi:keyvalue/wasi-io", "wasi:keyvalue/types"];

/// All interfaces that a watcher with the feature `outbound` may import besides.
const OUTBOUND: [&str; 3] = ["wasi:keyvalue/atomic", "wasi:keyvalue/batch", "wasi:keyvalue/readwrite"];

/// Makes a component of a core module.
pub(crate) fn encode(module: &[u8]) -> Vec<u8> {
    ComponentEncoder::default().validate(true).module(module).and_then(|mut encoder| encoder.encode()).unwrap()
}

impl Interfaces {
    pub(crate) fn of(component: &[u8]) -> Self {
        let Ok(DecodedWasm::Component(resolve, world)) = wit_component::decode(component) else {
            panic!("what was built is no component");
        };
        let world = &resolve.worlds[world];
        let [imports, exports] = [&world.imports, &world.exports]
            .map(|items| items.keys().map(|key| resolve.name_world_key(key)).collect::<Vec<_>>());
        Self { imports, exports }
    }

    /// Without the interfaces that act on the store.
    pub(crate) fn without_outbound(mut self) -> Self {
        self.imports.retain(|name| !OUTBOUND.contains(&&**name));
        self
    }

    /// Whether it imports an interface of the world. A component does not import an interface that it does not use.
    pub(crate) fn imports_the_world(&self) -> bool {
        self.imports.iter().any(|name| is_of_the_world(name))
    }

    /// Whether it imports the world alone.
    pub(crate) fn imports_nothing_else(&self) -> bool {
        self.imports.iter().all(|name| is_of_the_world(name))
    }

    /// Whether its imports beyond the world are only interfaces that every host with WASI has.
    pub(crate) fn imports_nothing_but_wasi(&self) -> bool {
        let is_wasi = |name: &str| name.starts_with("wasi:") && !name.starts_with("wasi:keyvalue/");
        self.imports.iter().all(|name| is_of_the_world(name) || is_wasi(name))
    }
}

fn is_of_the_world(name: &str) -> bool {
    WORLD.contains(&name)
}
