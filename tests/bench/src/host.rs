//! The least host that can run the guests: the world's imports, written for speed. It knows no rule of the draft's and keeps no
//! handles; it counts the calls, so that two guests can be told to have done the same.

use std::sync::Arc;

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Linker, Lower, TypedFunc,
};
use wasmtime::error::Context as _;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, ResourceLimiter, Result, Store,
    StoreContextMut, bail,
};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use crate::instrument::COUNTER;
use crate::printed::Printed;

const BUCKET: u32 = 1;
const PAYLOAD: u32 = 2;
const STREAM: u32 = 3;
const VALUE: u32 = 4;

/// The key of every event.
pub const KEY: &str = "users/ada";

/// What the key of a small event is set to.
pub const SMALL: &[u8] = b"7 bytes";

/// The most that one read gives: what both sides ask for.
pub const CHUNK: usize = 64 * 1024;

/// How often each of the draft's functions was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the draft's own")]
pub struct Calls {
    pub open_bucket: u64,
    pub drop_bucket: u64,
    pub drop_payload: u64,
    pub payload_consume_sync: u64,
    pub payload_consume_async: u64,
    pub read: u64,
    pub drop_input_stream: u64,
    pub new_value: u64,
    pub value_write_body: u64,
    pub write: u64,
    pub drop_output_stream: u64,
    pub drop_value: u64,
    pub get: u64,
    pub set: u64,
    pub increment: u64,
    pub get_many: u64,
}

impl Calls {
    /// Of all functions together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { open_bucket, drop_bucket, drop_payload, payload_consume_sync, payload_consume_async, .. } = self;
        let Self { read, drop_input_stream, new_value, value_write_body, write, drop_output_stream, .. } = self;
        let Self { drop_value, get, set, increment, get_many, .. } = self;
        let payloads = open_bucket + drop_bucket + drop_payload + payload_consume_sync + payload_consume_async;
        let streams = read + drop_input_stream + new_value + value_write_body + write + drop_output_stream;
        payloads + streams + drop_value + get + set + increment + get_many
    }
}

/// What stands behind an instance.
struct Host {
    calls: Calls,
    /// What `payload-consume-sync` gives.
    whole: Arc<[u8]>,
    /// What is left of the payload to stream.
    left: u64,
    chunk: Arc<[u8]>,
    /// What the guest wrote to a value.
    written: Vec<u8>,
    memory: usize,
    /// For guests that import WASI. It grants nothing but the standard output.
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
    /// What the guest prints goes there. Without it, it is lost.
    stdout: Option<Printed>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let stdout = &self.stdout;
        let (ctx, table) = &mut **self.wasi.get_or_insert_with(|| {
            let mut wasi = WasiCtx::builder();
            if let Some(stdout) = stdout {
                wasi.stdout(stdout.clone());
            }
            Box::new((wasi.build(), ResourceTable::new()))
        });
        WasiCtxView { ctx, table }
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct StreamError {
    dummy: u32,
}

impl Host {
    fn new(chunk: Arc<[u8]>) -> Self {
        Self {
            calls: Calls::default(),
            whole: Arc::default(),
            left: 0,
            chunk,
            written: Vec::new(),
            memory: 0,
            wasi: None,
            stdout: None,
        }
    }

    /// Makes the next payload one of `len` bytes, whichever way it is consumed.
    fn supply(&mut self, len: u64) {
        self.left = len;
        // What is too large for one list is only streamed.
        let whole = usize::try_from(len).unwrap_or(usize::MAX).min(CHUNK);
        if self.whole.len() != whole {
            self.whole = Arc::from(&self.chunk[..whole]);
        }
    }

    /// Makes the next payload these bytes. They are not streamed.
    fn supply_whole(&mut self, bytes: &[u8]) {
        self.left = 0;
        self.whole = Arc::from(bytes);
    }

    fn read(&mut self, len: u64) -> (Arc<[u8]>, bool) {
        let len = len.min(self.left).min(CHUNK as u64);
        self.left -= len;
        let len = usize::try_from(len).unwrap_or(CHUNK);
        let bytes = if len == CHUNK { self.chunk.clone() } else { Arc::from(&self.chunk[..len]) };
        (bytes, self.left == 0)
    }
}

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        // A guest has one memory; of one that is instrumented, which has two, nobody asks it.
        self.memory = desired;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

type Caller<'a> = StoreContextMut<'a, Host>;

/// The imports that the guests have among them.
fn linker(engine: &Engine) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;

    let mut io = linker.instance("wasi:keyvalue/wasi-io")?;
    io.func_wrap("read", |mut guest: Caller<'_>, (_, len): (u32, u64)| {
        let host = guest.data_mut();
        host.calls.read += 1;
        Ok((Ok::<_, StreamError>(host.read(len)),))
    })?;
    io.func_wrap("drop-input-stream", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.drop_input_stream += 1;
        Ok(())
    })?;
    io.func_wrap("write", |mut guest: Caller<'_>, (_, bytes): (u32, Vec<u8>)| {
        let host = guest.data_mut();
        host.calls.write += 1;
        host.written.extend_from_slice(&bytes);
        Ok((Ok::<_, StreamError>(bytes.len() as u64),))
    })?;
    io.func_wrap("drop-output-stream", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.drop_output_stream += 1;
        Ok(())
    })?;

    let mut types = linker.instance("wasi:keyvalue/types")?;
    types.func_wrap("open-bucket", |mut guest: Caller<'_>, (_,): (String,)| {
        guest.data_mut().calls.open_bucket += 1;
        Ok((Ok::<_, u32>(BUCKET),))
    })?;
    types.func_wrap("drop-bucket", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.drop_bucket += 1;
        Ok(())
    })?;
    types.func_wrap("drop-payload", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.drop_payload += 1;
        Ok(())
    })?;
    types.func_wrap("payload-consume-sync", |mut guest: Caller<'_>, (_,): (u32,)| {
        let host = guest.data_mut();
        host.calls.payload_consume_sync += 1;
        Ok((Ok::<_, u32>(host.whole.clone()),))
    })?;
    types.func_wrap("payload-consume-async", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.payload_consume_async += 1;
        Ok((Ok::<_, u32>(STREAM),))
    })?;
    types.func_wrap("new-value", |mut guest: Caller<'_>, (): ()| {
        guest.data_mut().calls.new_value += 1;
        Ok((VALUE,))
    })?;
    types.func_wrap("value-write-body", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.value_write_body += 1;
        Ok((Ok::<_, ()>(STREAM),))
    })?;
    types.func_wrap("drop-value", |mut guest: Caller<'_>, (_,): (u32,)| {
        guest.data_mut().calls.drop_value += 1;
        Ok(())
    })?;
    // Only a guest that was refused something has an error, and here none is.
    types.func_wrap("trace", |_: Caller<'_>, (_,): (u32,)| -> Result<(String,)> { bail!("no error was given") })?;
    types.func_wrap("drop-error", |_: Caller<'_>, (_,): (u32,)| -> Result<()> { bail!("no error was given") })?;
    add_outbound(&mut linker)?;
    Ok(linker)
}

/// The imports of the guests that act on the store. Every key has the payload of the event.
fn add_outbound(linker: &mut Linker<Host>) -> Result<()> {
    let mut readwrite = linker.instance("wasi:keyvalue/readwrite")?;
    readwrite.func_wrap("get", |mut guest: Caller<'_>, (_, _): (u32, String)| {
        guest.data_mut().calls.get += 1;
        Ok((Ok::<_, u32>(PAYLOAD),))
    })?;
    readwrite.func_wrap("set", |mut guest: Caller<'_>, (_, _, _): (u32, String, u32)| {
        let host = guest.data_mut();
        host.calls.set += 1;
        host.written.clear();
        Ok((Ok::<_, u32>(()),))
    })?;
    let mut atomic = linker.instance("wasi:keyvalue/atomic")?;
    atomic.func_wrap("increment", |mut guest: Caller<'_>, (_, _, delta): (u32, String, u64)| {
        guest.data_mut().calls.increment += 1;
        Ok((Ok::<_, u32>(delta),))
    })?;
    let mut batch = linker.instance("wasi:keyvalue/batch")?;
    batch.func_wrap("get-many", |mut guest: Caller<'_>, (_, keys): (u32, Vec<String>)| {
        guest.data_mut().calls.get_many += 1;
        Ok((Ok::<_, u32>(vec![PAYLOAD; keys.len()]),))
    })?;
    Ok(())
}

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
