//! Reads the imports and the exports of a component from its bytes, and the work that it causes, before anything is compiled.
//!
//! A file of 5 KB can describe two million instances, and wasmtime flattens all of them when it compiles. So this module counts
//! everything first. It reads the file once, in time that grows linearly with its size.

use wasmparser::{
    BinaryReaderError, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Instance, Parser, Payload,
};

/// The deepest nesting of components in components.
const MOST_NESTING: usize = 32;

/// The most instances, of components and of core modules, that one instance of the watcher may have.
const MOST_INSTANCES: u64 = 1_000;

/// The most aliases, functions of the canonical ABI, imports and exports that all of these instances may have together.
const MOST_ITEMS: u64 = 500_000;

/// The most functions that all core modules may have together.
const MOST_FUNCTIONS: u64 = 1_000_000;

/// The most core modules and components in the file.
const MOST_PARTS: u64 = 2_000;

/// The result of the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Preflight {
    /// The names of the imports, in their order.
    pub(crate) imports: Vec<String>,
    /// The names of the exports, in their order.
    pub(crate) exports: Vec<String>,
    /// The needs of one instance of the component.
    pub(crate) needs: Needs,
    /// The number of functions in its core modules.
    pub(crate) functions: u64,
    parts: u64,
}

/// The needs of an instance, with all the instances in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) instances: u64,
    pub(crate) core_instances: u64,
    pub(crate) memories: u64,
    pub(crate) tables: u64,
    /// The number of entries that its largest table has at first.
    pub(crate) largest_table: u64,
    items: u64,
}

/// Why a component is refused before it is compiled.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The bytes cannot be read.
    Damaged(BinaryReaderError),
    /// The component exceeds a limit.
    TooLarge(String),
}

impl From<BinaryReaderError> for Refused {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged(error)
    }
}

impl Needs {
    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
        self.largest_table = self.largest_table.max(other.largest_table);
        self.items = self.items.saturating_add(other.items);
    }

    fn check(self) -> Result<(), Refused> {
        if self.instances > MOST_INSTANCES {
            return Err(Refused::TooLarge(format!("it makes more than {MOST_INSTANCES} instances")));
        }
        if self.items > MOST_ITEMS {
            return Err(Refused::TooLarge(format!(
                "its instances have more than {MOST_ITEMS} imports, exports, aliases and functions together"
            )));
        }
        Ok(())
    }
}

/// A component or a core module that is being read.
#[derive(Default)]
struct Frame {
    is_module: bool,
    needs: Needs,
    /// The needs of an instance of each component, and of each core module. `None` stands for one that comes from outside.
    components: Vec<Option<Needs>>,
    modules: Vec<Option<Needs>>,
}

impl Preflight {
    /// Reads a component to its end.
    pub(crate) fn of(component: &[u8]) -> Result<Self, Refused> {
        let mut preflight = Self::default();
        let mut frames = vec![Frame::default()];
        for payload in Parser::new(0).parse_all(component) {
            preflight.read(payload?, &mut frames)?;
        }
        preflight.needs.check()?;
        Ok(preflight)
    }

    fn read(&mut self, payload: Payload<'_>, frames: &mut Vec<Frame>) -> Result<(), Refused> {
        let is_outermost = frames.len() == 1;
        let Some(frame) = frames.last_mut() else { return Ok(()) };
        match payload {
            Payload::ModuleSection { .. } => self.enter(frames, true)?,
            Payload::ComponentSection { .. } => self.enter(frames, false)?,
            Payload::End(_) => self.leave(frames),
            Payload::FunctionSection(section) => {
                self.functions = self.functions.saturating_add(section.count().into());
                if self.functions > MOST_FUNCTIONS {
                    return Err(Refused::TooLarge(format!("it has more than {MOST_FUNCTIONS} functions")));
                }
            }
            Payload::MemorySection(section) => frame.needs.memories += u64::from(section.count()),
            Payload::TableSection(section) => {
                frame.needs.tables += u64::from(section.count());
                for table in section {
                    frame.needs.largest_table = frame.needs.largest_table.max(table?.ty.initial);
                }
            }
            Payload::InstanceSection(section) => {
                for instance in section {
                    if let Instance::Instantiate { module_index, .. } = instance? {
                        let needs = frame.modules.get(module_index as usize).copied();
                        frame.instantiate(needs, "a core module")?;
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section {
                    match instance? {
                        ComponentInstance::Instantiate { component_index, .. } => {
                            let needs = frame.components.get(component_index as usize).copied();
                            frame.instantiate(needs, "a component")?;
                        }
                        ComponentInstance::FromExports(exports) => frame.needs.items += exports.len() as u64,
                    }
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    alias_in(frames, &alias?);
                }
            }
            Payload::ComponentCanonicalSection(section) => frame.needs.items += u64::from(section.count()),
            Payload::ComponentImportSection(section) => {
                for import in section {
                    let import = import?;
                    frame.needs.items += 1;
                    match import.ty {
                        ComponentTypeRef::Module(_) => frame.modules.push(None),
                        ComponentTypeRef::Component(_) => frame.components.push(None),
                        _ => {}
                    }
                    if is_outermost {
                        self.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    frame.needs.items += 1;
                    // An export adds the exported item to the index space once more.
                    frame.again(export.kind, export.index);
                    if is_outermost {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn enter(&mut self, frames: &mut Vec<Frame>, is_module: bool) -> Result<(), Refused> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(Refused::TooLarge(format!("it has more than {MOST_PARTS} core modules and components")));
        }
        if frames.len() > MOST_NESTING {
            return Err(Refused::TooLarge(format!("its components are nested more than {MOST_NESTING} deep")));
        }
        frames.push(Frame { is_module, ..Frame::default() });
        Ok(())
    }

    fn leave(&mut self, frames: &mut Vec<Frame>) {
        let Some(mut done) = frames.pop() else { return };
        done.needs.instances = done.needs.instances.saturating_add(1);
        match frames.last_mut() {
            Some(parent) if done.is_module => {
                done.needs.core_instances = 1;
                parent.modules.push(Some(done.needs));
            }
            Some(parent) => parent.components.push(Some(done.needs)),
            None => self.needs = done.needs,
        }
    }
}

impl Frame {
    /// Adds the needs of an instance, if they are known. The outer `None` stands for an index that does not exist.
    #[expect(clippy::option_option, reason = "an entry of the index space, and what is known of it")]
    fn instantiate(&mut self, needs: Option<Option<Needs>>, what: &str) -> Result<(), Refused> {
        match needs {
            Some(Some(needs)) => {
                self.needs.add(needs);
                self.needs.check()
            }
            Some(None) => Err(Refused::TooLarge(format!(
                "it makes an instance of {what} that it imports or takes from an instance, which cannot be counted"
            ))),
            // The validation reports that this index does not exist.
            None => Ok(()),
        }
    }

    fn again(&mut self, kind: ComponentExternalKind, index: u32) {
        let index = index as usize;
        match kind {
            ComponentExternalKind::Module => self.modules.push(self.modules.get(index).copied().flatten()),
            ComponentExternalKind::Component => self.components.push(self.components.get(index).copied().flatten()),
            _ => {}
        }
    }
}

fn alias_in(frames: &mut [Frame], alias: &ComponentAlias<'_>) {
    let outer = |count: u32| frames.len().checked_sub(1 + count as usize).and_then(|index| frames.get(index));
    let (module, component) = match *alias {
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => (Some(None), None),
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => (None, Some(None)),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
            (Some(outer(count).and_then(|frame| frame.modules.get(index as usize).copied().flatten())), None)
        }
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
            (None, Some(outer(count).and_then(|frame| frame.components.get(index as usize).copied().flatten())))
        }
        _ => (None, None),
    };
    let Some(frame) = frames.last_mut() else { return };
    frame.needs.items += 1;
    frame.modules.extend(module);
    frame.components.extend(component);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_an_instance_needs() {
        let component = wat::parse_str(
            r#"(component
                (component $inner
                    (core module $m (table 7 funcref) (table 9 funcref) (memory 1) (func) (func))
                    (core instance (instantiate $m))
                    (core instance (instantiate $m)))
                (import "a:b/c@0.1.0" (instance))
                (instance (instantiate $inner))
                (instance $i (instantiate $inner))
                (export "e" (instance $i)))"#,
        )
        .unwrap();
        let preflight = Preflight::of(&component).unwrap();
        assert_eq!(
            (&*preflight.imports, &*preflight.exports),
            (&["a:b/c@0.1.0".to_owned()][..], &["e".to_owned()][..])
        );
        let Needs { instances, core_instances, memories, tables, largest_table, .. } = preflight.needs;
        assert_eq!((instances, core_instances, memories, tables, largest_table), (7, 4, 4, 8, 9));
        assert_eq!(preflight.functions, 2);
    }
}
