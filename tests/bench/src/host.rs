//! The least host that can run the guests: the world's imports, written for speed. It knows no rule of the draft's and keeps no
//! handles; it counts the calls, so that two guests can be told to have done the same.

mod imports;

use std::sync::Arc;

use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker, TypedFunc};
use wasmtime::error::Context as _;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Result, Store};

use crate::instrument::COUNTER;
use crate::printed::Printed;

pub use imports::Calls;
use imports::{Host, linker};

const BUCKET: u32 = 1;
const PAYLOAD: u32 = 2;

/// The key of every event.
pub const KEY: &str = "users/ada";

/// What the key of a small event is set to.
pub const SMALL: &[u8] = b"7 bytes";

/// The most that one read gives: what both sides ask for.
pub const CHUNK: usize = 64 * 1024;

/// Where guests run.
pub struct Machine {
    engine: Engine,
    linker: Linker<Host>,
    chunk: Arc<[u8]>,
}

impl Machine {
    /// One that counts instructions.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine.
    pub fn counting() -> Result<Self> {
        Self::new(Config::new().consume_fuel(true))
    }

    /// One that is as fast as can be.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine.
    pub fn fast() -> Result<Self> {
        Self::new(&Config::new())
    }

    /// A host that makes instances fast, one at a time. Its pool keeps as much as the pool of kvwatch.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine.
    pub fn pooling() -> Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(1).linear_memory_keep_resident(1 << 20).table_keep_resident(1 << 16);
        pool.pagemap_scan(Enabled::Auto);
        Self::new(Config::new().allocation_strategy(InstanceAllocationStrategy::Pooling(pool)))
    }

    fn new(config: &Config) -> Result<Self> {
        let engine = Engine::new(config)?;
        let linker = linker(&engine)?;
        let chunk = (0..=u8::MAX).cycle().take(CHUNK).collect();
        Ok(Self { engine, linker, chunk })
    }

    /// Compiles a guest.
    ///
    /// # Errors
    ///
    /// When `component` is no watcher.
    pub fn load(&self, component: &[u8]) -> Result<Guest> {
        let component = Component::new(&self.engine, component)?;
        let interface = component
            .get_export_index(None, "wasi:keyvalue/handle-watch")
            .context("the component does not export `handle-watch`")?;
        let function = |name| {
            let function = component.get_export_index(Some(&interface), name);
            function.with_context(|| format!("`handle-watch` has no `{name}`"))
        };
        Ok(Guest {
            on_set: function("on-set")?,
            on_delete: function("on-delete")?,
            pre: self.linker.instantiate_pre(&component)?,
            chunk: self.chunk.clone(),
        })
    }
}

/// A guest, compiled.
pub struct Guest {
    pre: InstancePre<Host>,
    on_set: ComponentExportIndex,
    on_delete: ComponentExportIndex,
    chunk: Arc<[u8]>,
}

impl Guest {
    /// A fresh instance.
    ///
    /// # Errors
    ///
    /// When the instance cannot be made, or its exports are of other types than a watcher's.
    pub fn start(&self) -> Result<Watcher> {
        self.start_printing(None)
    }

    /// A fresh instance that prints to `stdout`.
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start).
    pub fn start_printing(&self, stdout: Option<Printed>) -> Result<Watcher> {
        let mut host = Host::new(self.chunk.clone());
        host.stdout = stdout;
        let mut store = Store::new(self.pre.engine(), host);
        store.limiter(|host| host);
        // Without fuel to begin with there is no counting; where nothing is counted it is refused, and not needed.
        let _ = store.set_fuel(u64::MAX);
        let instance = self.pre.instantiate(&mut store)?;
        let on_set = instance.get_typed_func(&mut store, self.on_set)?;
        let on_delete = instance.get_typed_func(&mut store, self.on_delete)?;
        Ok(Watcher { store, instance, on_set, on_delete })
    }
}

/// What can happen to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is set to this many bytes.
    Set(u64),
    /// It is set to this text, which is read whole.
    SetText(&'static str),
    /// It is deleted.
    Delete,
}

/// An instance of a guest.
pub struct Watcher {
    store: Store<Host>,
    instance: Instance,
    on_set: TypedFunc<(u32, &'static str, u32), ()>,
    on_delete: TypedFunc<(u32, &'static str), ()>,
}

impl Watcher {
    /// Delivers an event.
    ///
    /// # Errors
    ///
    /// When the guest traps.
    pub fn deliver(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Set(len) => {
                self.store.data_mut().supply(len);
                self.on_set.call(&mut self.store, (BUCKET, KEY, PAYLOAD))
            }
            Event::SetText(text) => {
                self.store.data_mut().supply_whole(text.as_bytes());
                self.on_set.call(&mut self.store, (BUCKET, KEY, PAYLOAD))
            }
            Event::Delete => self.on_delete.call(&mut self.store, (BUCKET, KEY)),
        }
    }

    /// Delivers a recorded set.
    ///
    /// # Errors
    ///
    /// When the guest traps.
    pub fn set(&mut self, key: &str, value: &[u8]) -> Result<()> {
        self.store.data_mut().supply_whole(value);
        self.on_set.call(&mut self.store, (BUCKET, key, PAYLOAD))
    }

    /// Delivers an event. Gives how many instructions it took, where they are counted.
    ///
    /// # Errors
    ///
    /// When the guest traps, or nothing is counted.
    pub fn cost(&mut self, event: Event) -> Result<u64> {
        self.store.set_fuel(u64::MAX)?;
        self.deliver(event)?;
        Ok(u64::MAX - self.store.get_fuel()?)
    }

    /// The figure of a counter in an instrumented guest.
    ///
    /// # Errors
    ///
    /// When the guest is not instrumented, or has no such counter.
    pub(crate) fn counter(&mut self, index: u32) -> Result<u64> {
        let counter = self.instance.get_typed_func::<(u32,), (u64,)>(&mut self.store, COUNTER)?;
        Ok(counter.call(&mut self.store, (index,))?.0)
    }

    /// The calls so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.store.data().calls
    }

    /// What the guest has written to values since this was asked for last.
    pub fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.store.data_mut().written)
    }

    /// The instance's linear memory, in bytes. It never shrinks.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.data().memory
    }
}
