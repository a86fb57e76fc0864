use std::collections::HashSet;
use std::ops::Range;

use wasmparser::{BinaryReaderError, ComponentName, CustomSectionReader, KnownCustom, Name, Parser, Payload};

use super::interface::are_compatible;

/// The parts of a component and their sizes.
///
/// ```
/// let anatomy = kvwatch::Anatomy::of(b"\0asm\x0d\0\x01\0")?;
/// assert_eq!((anatomy.bytes, anatomy.modules.len()), (8, 0));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anatomy {
    /// The size of the component in bytes.
    pub bytes: u64,
    /// The core modules of the component, in their order.
    pub modules: Vec<Module>,
    /// The bytes of the custom sections outside the core modules. They contain names and the tools that made the component.
    pub custom: u64,
}

/// A core module in a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Module {
    /// The name, if the component has it. `main` is the module with the author's code.
    pub name: Option<String>,
    /// The size of the module in bytes.
    pub bytes: u64,
    /// The bytes of code.
    pub code: u64,
    /// The bytes of data.
    pub data: u64,
    /// The bytes of custom sections: names, debug information, and the tools that made the module.
    pub custom: u64,
    /// The interfaces whose functions the module imports.
    pub imports: Vec<String>,
}

impl Anatomy {
    /// Reads the parts of a component.
    ///
    /// # Errors
    ///
    /// When the bytes are not WebAssembly, or end too early.
    pub fn of(component: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::parse(component)?)
    }

    fn parse(component: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut anatomy = Self { bytes: component.len() as u64, ..Self::default() };
        let mut names = Vec::new();
        // Whether each module belongs to the component itself. The modules of a component inside it have numbers of their own.
        let mut own = Vec::new();
        // Whether each of the nested parts that are being read is a module.
        let mut within = vec![false];
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            let module = within.last().copied().unwrap_or_default().then(|| anatomy.modules.last_mut()).flatten();
            match (&payload, module) {
                (Payload::ModuleSection { unchecked_range, .. }, _) => {
                    if within.len() == 1 {
                        own.push(anatomy.modules.len());
                    }
                    anatomy.modules.push(Module { bytes: len(unchecked_range), ..Module::default() });
                    within.push(true);
                }
                (Payload::ComponentSection { .. }, _) => within.push(false),
                (Payload::End(_), _) => _ = within.pop(),
                (Payload::CodeSectionStart { range, .. }, Some(module)) => module.code += len(range),
                (Payload::DataSection(section), Some(module)) => module.data += len(&section.range()),
                (Payload::CustomSection(section), Some(module)) => {
                    module.custom += len(&section.range());
                    module.name = module_name(section).or(module.name.take());
                }
                (Payload::ImportSection(section), Some(module)) => {
                    // A component can have a hundred thousand modules.
                    let mut known: HashSet<&str> = HashSet::new();
                    for import in section.clone().into_imports() {
                        let interface = import?.module;
                        if known.insert(interface) {
                            module.imports.push(interface.to_owned());
                        }
                    }
                }
                (Payload::CustomSection(section), None) => {
                    anatomy.custom += len(&section.range());
                    if let (KnownCustom::ComponentName(section), [_]) = (section.as_known(), &*within) {
                        for name in section {
                            let ComponentName::CoreModules(modules) = name? else { continue };
                            for module in modules {
                                let module = module?;
                                names.push((module.index as usize, module.name.to_owned()));
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        for (index, name) in names {
            if let Some(module) = own.get(index).and_then(|&index| anatomy.modules.get_mut(index)) {
                module.name = Some(name);
            }
        }
        Ok(anatomy)
    }

    /// The bytes outside the core modules and the custom sections: the types, and the instructions that connect the parts.
    #[must_use]
    pub fn rest(&self) -> u64 {
        let modules: u64 = self.modules.iter().map(|module| module.bytes).sum();
        self.bytes.saturating_sub(modules).saturating_sub(self.custom)
    }

    /// The core modules that import functions of an interface, in this version or a compatible one.
    pub fn importers<'a>(&'a self, interface: &'a str) -> impl Iterator<Item = &'a Module> {
        self.modules.iter().filter(move |module| module.imports.iter().any(|import| are_compatible(import, interface)))
    }
}

impl Module {
    /// Whether the module is the adapter with which a module for `wasm32-wasip1` becomes a component.
    #[must_use]
    pub fn is_adapter(&self) -> bool {
        self.name.as_deref() == Some("wit-component:adapter:wasi_snapshot_preview1")
    }

    /// The bytes outside code, data and custom sections.
    #[must_use]
    pub fn rest(&self) -> u64 {
        self.bytes.saturating_sub(self.code).saturating_sub(self.data).saturating_sub(self.custom)
    }
}

/// The name in a module's own name section.
fn module_name(section: &CustomSectionReader<'_>) -> Option<String> {
    let KnownCustom::Name(names) = section.as_known() else { return None };
    names.into_iter().find_map(|name| match name {
        Ok(Name::Module { name, .. }) => Some(name.to_owned()),
        _ => None,
    })
}

fn len(range: &Range<usize>) -> u64 {
    range.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_parts_apart() {
        let component = wat::parse_str(
            r#"(component $c
                (core module $main
                    (import "wasi:cli/stdout@0.2.0" "f" (func))
                    (import "wasi:cli/stdout@0.2.0" "g" (func))
                    (memory 1)
                    (data (i32.const 0) "0123456789")
                    (func))
                (component (core module $inner))
                (core module $wit-component:adapter:wasi_snapshot_preview1 (import "wasi:io/streams@0.2.0" "f" (func))))"#,
        )
        .unwrap();
        let anatomy = Anatomy::of(&component).unwrap();
        assert_eq!(anatomy.bytes, component.len() as u64);
        let [main, inner, adapter] = &*anatomy.modules else { panic!("{anatomy:?}") };
        assert_eq!((main.name.as_deref(), main.imports.len(), main.is_adapter()), (Some("main"), 1, false));
        assert!(main.data > 10 && main.code > 0 && main.bytes > main.data + main.code, "{main:?}");
        assert_eq!((inner.code, inner.data, inner.imports.len()), (0, 0, 0));
        assert_eq!(adapter.imports, ["wasi:io/streams@0.2.0"]);
        assert!(anatomy.custom > 0 && anatomy.rest() > 0, "{anatomy:?}");
        assert_eq!(anatomy.importers("wasi:cli/stdout@0.2.0").count(), 1);
    }

    #[test]
    fn half_a_component_has_no_anatomy() {
        let component = wat::parse_str("(component (core module (func)))").unwrap();
        assert!(Anatomy::of(&component[..component.len() / 2]).is_err());
        assert!(Anatomy::of(b"").is_err());
    }
}
