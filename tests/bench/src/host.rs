//! A minimal host for the guests: the world's imports, written for speed. It checks no rules of the draft and keeps no
//! handles. It counts the calls, so that the calls of two guests can be compared.

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

/// The value of a small event.
pub const SMALL: &[u8] = b"7 bytes";

/// The maximum number of bytes that one read returns. Both sides request this number.
pub const CHUNK: usize = 64 * 1024;

/// An engine and a linker that run guests.
pub struct Machine {
    engine: Engine,
    linker: Linker<Host>,
    chunk: Arc<[u8]>,
}

impl Machine {
    /// Creates a machine that counts instructions.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine.
    pub fn counting() -> Result<Self> {
        Self::new(Config::new().consume_fuel(true))
    }

    /// Creates a machine that runs guests as fast as possible.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine.
    pub fn fast() -> Result<Self> {
        Self::new(&Config::new())
    }

    /// Creates a machine that starts instances fast, one at a time. Its pool keeps as much memory as that of kvwatch.
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
    /// When `component` is not a watcher.
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

/// A compiled guest.
pub struct Guest {
    pre: InstancePre<Host>,
    on_set: ComponentExportIndex,
    on_delete: ComponentExportIndex,
    chunk: Arc<[u8]>,
}

impl Guest {
    /// Starts a new instance.
    ///
    /// # Errors
    ///
    /// When the instance cannot be created, or its exports do not have the types of a watcher.
    pub fn start(&self) -> Result<Watcher> {
        self.start_printing(None)
    }

    /// Starts a new instance that prints to `stdout`.
    ///
    /// # Errors
    ///
    /// The same as for [`start`](Self::start).
    pub fn start_printing(&self, stdout: Option<Printed>) -> Result<Watcher> {
        let mut host = Host::new(self.chunk.clone());
        host.stdout = stdout;
        let mut store = Store::new(self.pre.engine(), host);
        store.limiter(|host| host);
        // A store of a counting engine needs fuel. Any other store refuses fuel and does not need it.
        let _ = store.set_fuel(u64::MAX);
        let instance = self.pre.instantiate(&mut store)?;
        let on_set = instance.get_typed_func(&mut store, self.on_set)?;
        let on_delete = instance.get_typed_func(&mut store, self.on_delete)?;
        Ok(Watcher { store, instance, on_set, on_delete })
    }
}

/// An event of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The key is set to this number of bytes.
    Set(u64),
    /// The key is set to this text, which the guest reads whole.
    SetText(&'static str),
    /// The key is deleted.
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

    /// Delivers an event. Returns the number of instructions that it took.
    ///
    /// # Errors
    ///
    /// When the guest traps, or the machine does not count instructions.
    pub fn cost(&mut self, event: Event) -> Result<u64> {
        self.store.set_fuel(u64::MAX)?;
        self.deliver(event)?;
        Ok(u64::MAX - self.store.get_fuel()?)
    }

    /// The value of a counter in an instrumented guest.
    ///
    /// # Errors
    ///
    /// When the guest is not instrumented, or does not have this counter.
    pub(crate) fn counter(&mut self, index: u32) -> Result<u64> {
        let counter = self.instance.get_typed_func::<(u32,), (u64,)>(&mut self.store, COUNTER)?;
        Ok(counter.call(&mut self.store, (index,))?.0)
    }

    /// The number of calls of each function so far.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.store.data().calls
    }

    /// Takes the bytes that the guest has written to values since the last call of this function.
    pub fn take_written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.store.data_mut().written)
    }

    /// The size of the instance's linear memory, in bytes. It never shrinks.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.store.data().memory
    }
}
