use std::thread;
use std::time::Duration;

use wasmtime::component::Linker;
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::linking::{self, State};
use crate::error::Error;

/// What compiles and runs watchers, and the limits that they run under. Cheap to clone.
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
    wasm: wasmtime::Engine,
    linker: Linker<State>,
    limits: Limits,
    counts_fuel: bool,
}

/// What an event may use. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long it may take, the making of its instance included. Time in which the watcher sleeps is noticed when it wakes.
    pub time: Option<Duration>,
    /// How many bytes of linear memory its instance may have.
    pub memory: Option<u64>,
    /// How much [fuel](https://docs.rs/wasmtime/latest/wasmtime/struct.Config.html#method.consume_fuel) it may consume: about
    /// one for an instruction.
    pub fuel: Option<u64>,
}

impl Limits {
    /// How often the clock of the time limit ticks.
    fn tick(limit: Duration) -> Duration {
        (limit / 20).clamp(Duration::from_millis(1), Duration::from_millis(100))
    }

    /// How many ticks the time limit is, from anywhere between two.
    pub(crate) fn ticks(self) -> Option<u64> {
        let limit = self.time?;
        let ticks = limit.as_nanos().div_ceil(Self::tick(limit).as_nanos()) + 1;
        // Far off, and far from overflowing what it is added to.
        Some(u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX / 2))
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

    /// An engine to be made.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// What an event may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.linker
    }

    /// What an event is given of fuel, where that is counted.
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
}

impl EngineBuilder {
    /// Ends an event that takes longer.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.limits.time = limit.into();
        self
    }

    /// Lets an instance have no more bytes of linear memory.
    pub fn memory_limit(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.limits.memory = bytes.into();
        self
    }

    /// Ends an event that consumes more fuel.
    pub fn fuel_limit(mut self, fuel: impl Into<Option<u64>>) -> Self {
        self.limits.fuel = fuel.into();
        self
    }

    /// Counts the fuel that an event consumes, for [`Outcome::fuel`](crate::Outcome::fuel), with a limit or without.
    pub fn count_fuel(mut self) -> Self {
        self.counts_fuel = true;
        self
    }

    /// Allocates up front what `instances` at a time need. Instances are then made a lot faster, which counts where every event
    /// has its own.
    pub fn pooled(mut self, instances: u32) -> Self {
        self.pooled = Some(instances);
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    ///
    /// When wasmtime does not support this machine, or there is no address space for the pool.
    pub fn build(self) -> Result<Engine, Error> {
        let counts_fuel = self.counts_fuel || self.limits.fuel.is_some();
        let mut config = Config::new();
        config
            .consume_fuel(counts_fuel)
            .epoch_interruption(self.limits.time.is_some())
            // A trap is told by its cause; where in a stripped guest it happened, a backtrace cannot tell.
            .wasm_backtrace_max_frames(None);
        if let Some(instances) = self.pooled {
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
        }
        let wasm = wasmtime::Engine::new(&config).map_err(|error| Error::Engine(error.into()))?;
        let linker = linking::linker(&wasm).map_err(|error| Error::Engine(error.into()))?;
        if let Some(limit) = self.limits.time {
            start_clock(&wasm, Limits::tick(limit)).map_err(|error| Error::Engine(error.into()))?;
        }
        Ok(Engine { wasm, linker, limits: self.limits, counts_fuel })
    }
}

/// Room for components as they are built from Rust: the module, and where it is for wasip1 the adapter with its shims.
fn pool(instances: u32) -> PoolingAllocationConfig {
    const MODULES: u32 = 16;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(MODULES))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(MODULES))
        .max_core_instances_per_component(MODULES)
        .max_memories_per_component(2)
        .max_tables_per_component(MODULES)
        // What a small guest touches is quicker wiped than given back.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(1 << 16);
    pool
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
