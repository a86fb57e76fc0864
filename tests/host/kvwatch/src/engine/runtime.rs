use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::cache::Cache;
use super::grants::Grants;
use super::linking::{self, State};
use super::preflight::Preflight;
use crate::error::Error;

/// Compiles and runs watchers, under limits. A clone is cheap.
///
/// ```
/// use std::time::Duration;
///
/// use kvwatch::Engine;
///
/// let engine = Engine::builder().time_limit(Duration::from_secs(1)).memory_limit(16 << 20).build()?;
/// # Ok::<(), kvwatch::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    on_demand: Machine,
    pooled: Option<Machine>,
    limits: Limits,
    /// The most bytes that the host keeps for a guest. `None` without a memory limit.
    kept: Option<u64>,
    counts_fuel: bool,
    grants: Arc<Grants>,
    cache: Option<Cache>,
}

/// A wasmtime engine, and the functions that a watcher may import in it.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) wasm: wasmtime::Engine,
    /// For components that import nothing that may wait. Their calls need no fiber.
    pub(crate) direct: Linker<State>,
    /// For all other components.
    pub(crate) waiting: Linker<State>,
}

impl Machine {
    fn new(config: &Config, limits: Limits) -> wasmtime::Result<Self> {
        let wasm = wasmtime::Engine::new(config)?;
        if let Some(limit) = limits.time {
            start_clock(&wasm, Limits::tick(limit))?;
        }
        Ok(Self { direct: linking::direct(&wasm)?, waiting: linking::waiting(&wasm)?, wasm })
    }
}

/// The limits of an event. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The longest time that it may take. The time for making its instance counts, and the time in which the watcher waits. The time
    /// in which the host writes the output of the watcher does not count.
    ///
    /// An instruction that fills or copies a whole memory cannot be interrupted. If its time is over, the event ends
    /// after that instruction, and is never handled. The memory limit bounds the time of the instruction: with 64 MiB it takes some
    /// milliseconds. An engine with a time limit and without a memory limit has a memory limit of 4 GiB.
    pub time: Option<Duration>,
    /// The most bytes that its instance may have in linear memories and tables together. An entry of a table is a pointer of the host.
    pub memory: Option<u64>,
    /// The most [fuel](https://docs.rs/wasmtime/latest/wasmtime/struct.Config.html#method.consume_fuel) that it may consume. An
    /// instruction costs about 1. A call of a function of the world costs 100, and 1 more for each 8 bytes that it moves.
    pub fuel: Option<u64>,
}

impl Limits {
    /// The interval between two ticks of the clock of the time limit.
    fn tick(limit: Duration) -> Duration {
        (limit / 20).clamp(Duration::from_millis(1), Duration::from_millis(100))
    }
}

impl Engine {
    /// An engine without limits.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Starts to make an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// The limits of an event.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The most bytes that the host keeps for a guest. `None` without a memory limit.
    pub(crate) fn kept(&self) -> Option<u64> {
        self.kept
    }

    /// The grants of watchers beyond the world.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The machine for this component: the one with the pool, if there is a pool and the component fits into it.
    pub(crate) fn machine_for(&self, component: &Preflight) -> &Machine {
        self.pooled.as_ref().filter(|_| fits_pool(component)).unwrap_or(&self.on_demand)
    }

    /// The cache of compiled components. `None` if the engine has none.
    #[must_use]
    pub fn cache(&self) -> Option<&Cache> {
        self.cache.as_ref()
    }

    pub(crate) fn on_demand(&self) -> &Machine {
        &self.on_demand
    }

    /// The fuel that an event gets, if fuel is counted.
    pub(crate) fn fuel(&self) -> Option<u64> {
        self.counts_fuel.then(|| self.limits.fuel.unwrap_or(u64::MAX))
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Makes an [`Engine`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EngineBuilder {
    limits: Limits,
    counts_fuel: bool,
    pooled: Option<u32>,
    grants: Grants,
    cache: Option<Cache>,
}

impl EngineBuilder {
    /// Ends an event that takes longer. Set a [memory limit](Self::memory_limit) as well: see [`Limits::time`].
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.limits.time = limit.into();
        self
    }

    /// Limits the bytes that an instance has in linear memories and tables together.
    pub fn memory_limit(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.limits.memory = bytes.into();
        self
    }

    /// Ends an event that consumes more fuel.
    pub fn fuel_limit(mut self, fuel: impl Into<Option<u64>>) -> Self {
        self.limits.fuel = fuel.into();
        self
    }

    /// Counts the fuel that an event consumes, for [`Outcome::fuel`](crate::Outcome::fuel), even without a limit.
    pub fn count_fuel(mut self) -> Self {
        self.counts_fuel = true;
        self
    }

    /// Allocates a pool for this number of `instances` at the same time. Instances are then made much faster, which matters if
    /// every event has its own. A component that needs more than the pool has runs without it.
    pub fn pooled(mut self, instances: u32) -> Self {
        self.pooled = Some(instances);
        self
    }

    /// Grants watchers something beyond the world. Without this call, they are granted nothing.
    pub fn grants(mut self, grants: Grants) -> Self {
        self.grants = grants;
        self
    }

    /// Keeps compiled components in a cache, and looks there before it compiles. Without a cache, every load compiles.
    pub fn cache(mut self, cache: impl Into<Option<Cache>>) -> Self {
        self.cache = cache.into();
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine, there is no address space for the pool, or a granted folder cannot be read.
    pub fn build(self) -> Result<Engine, Error> {
        /// The most functions in a backtrace. The innermost ones are enough to recognize a deep recursion.
        const FRAMES: NonZeroUsize = NonZeroUsize::new(16).unwrap();
        self.grants.check().map_err(|(path, source)| Error::Read { path: path.to_owned(), source })?;
        let counts_fuel = self.counts_fuel || self.limits.fuel.is_some();
        let mut limits = self.limits;
        // The largest memory bounds the time of the longest instruction.
        limits.memory = limits.memory.or(limits.time.map(|_| LARGEST_MEMORY));
        let mut config = Config::new();
        config
            .consume_fuel(counts_fuel)
            .epoch_interruption(limits.time.is_some())
            .wasm_backtrace_max_frames(Some(FRAMES));
        let machine = |config: &Config| Machine::new(config, limits).map_err(|error| Error::Engine(error.into()));
        let on_demand = machine(&config)?;
        let pooled = self.pooled.map(|instances| {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
            machine(&config)
        });
        let (pooled, kept) = (pooled.transpose()?, self.limits.memory);
        let (grants, cache) = (Arc::new(self.grants), self.cache);
        Ok(Engine { on_demand, pooled, limits, kept, counts_fuel, grants, cache })
    }
}

/// The memory limit if only the time is limited: the largest memory with addresses of 32 bits.
const LARGEST_MEMORY: u64 = 1 << 32;

/// The most core instances, and the most tables, that a component may have in the pool.
const POOLED_MODULES: u32 = 16;
/// The most memories that a component may have in the pool.
const POOLED_MEMORIES: u32 = 2;
/// The most entries that a table may have in the pool.
const POOLED_ENTRIES: u32 = 20_000;
/// The most functions that a component may have in the pool. The size of an instance grows with them.
const POOLED_FUNCTIONS: u64 = 10_000;

/// A pool for components that are built from Rust: the module, and for wasip1 the adapter with its shims.
///
/// Wiping the memory that a guest touched is faster than returning it to the kernel. A guest built from Rust touches the end of its
/// stack of 1 MiB, and little memory behind it. Linux 6.7 and later report which pages were touched, so only these are wiped: with
/// `--fresh`, the events of two examples for `wasm32-wasip2` took a third and a half of the
/// time. On other kernels all kept pages are wiped, so few pages are kept.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let resident = if PoolingAllocationConfig::is_pagemap_scan_available() { 1 << 20 } else { 1 << 16 };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(POOLED_MODULES))
        .total_memories(instances.saturating_mul(POOLED_MEMORIES))
        .total_tables(instances.saturating_mul(POOLED_MODULES))
        .total_stacks(instances)
        .max_core_instances_per_component(POOLED_MODULES)
        .max_memories_per_component(POOLED_MEMORIES)
        .max_tables_per_component(POOLED_MODULES)
        .table_elements(POOLED_ENTRIES as usize)
        .pagemap_scan(Enabled::Auto)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(1 << 16);
    pool
}

/// Whether the pool has room for this component. A table that starts with few entries can grow only
/// to the bound of the pool.
fn fits_pool(component: &Preflight) -> bool {
    let needs = component.needs;
    needs.core_instances <= POOLED_MODULES.into()
        && needs.memories <= POOLED_MEMORIES.into()
        && needs.tables <= POOLED_MODULES.into()
        && needs.largest_table < POOLED_ENTRIES.into()
        && component.functions <= POOLED_FUNCTIONS
}

/// Ticks as long as the engine lives.
fn start_clock(engine: &wasmtime::Engine, tick: Duration) -> std::io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name("kvwatch time limit".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(tick);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The compiler would refuse a component that does not fit, but only after it has compiled the component.
    #[test]
    fn only_what_fits_is_compiled_for_the_pool() {
        let instances = |count| "(core instance (instantiate $m)) ".repeat(count);
        let many = |what: &str, count| format!("(core module $m {}) {}", what.repeat(count), instances(1));
        for (fields, fits) in [
            (format!("(core module $m) {}", instances(16)), true),
            (format!("(core module $m) {}", instances(17)), false),
            (many("(memory 1)", 2), true),
            (many("(memory 1)", 3), false),
            (many("(table 1 funcref)", 16), true),
            (many("(table 1 funcref)", 17), false),
            (many("(table 19999 funcref)", 1), true),
            // This table could not grow.
            (many("(table 20000 funcref)", 1), false),
            (many("(func)", 10_000), true),
            (many("(func)", 10_001), false),
        ] {
            let component = wat::parse_str(format!("(component {fields})")).unwrap();
            let preflight = Preflight::of(&component).unwrap_or_else(|_| panic!("a component"));
            assert_eq!(fits_pool(&preflight), fits, "{}", &fields[..fields.len().min(100)]);
        }
    }
}
