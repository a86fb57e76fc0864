//! The host's state, and the world's imports as functions of wasmtime.

use std::sync::Arc;

use wasmtime::component::{ComponentType, Linker, Lower};
use wasmtime::{Engine, ResourceLimiter, Result, StoreContextMut, bail};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use super::{BUCKET, CHUNK, PAYLOAD};
use crate::printed::Printed;

const STREAM: u32 = 3;
const VALUE: u32 = 4;

/// The number of calls of each function of the draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields have the names of the draft's functions")]
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
    /// The number of calls of all functions together.
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

/// The host's state for an instance.
pub(super) struct Host {
    pub(super) calls: Calls,
    /// The bytes that `payload-consume-sync` returns.
    whole: Arc<[u8]>,
    /// The number of bytes of the payload that are not streamed yet.
    left: u64,
    chunk: Arc<[u8]>,
    /// The bytes that the guest wrote to values.
    pub(super) written: Vec<u8>,
    pub(super) memory: usize,
    /// The WASI context for guests that import WASI. It grants only the standard output.
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
    /// The destination of the guest's output. `None` discards the output.
    pub(super) stdout: Option<Printed>,
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
    pub(super) fn new(chunk: Arc<[u8]>) -> Self {
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

    /// Sets the length of the next payload, for both ways of consuming it.
    pub(super) fn supply(&mut self, len: u64) {
        self.left = len;
        // A payload that is too large for one list can only be streamed.
        let whole = usize::try_from(len).unwrap_or(usize::MAX).min(CHUNK);
        if self.whole.len() != whole {
            self.whole = Arc::from(&self.chunk[..whole]);
        }
    }

    /// Sets the bytes of the next payload. They cannot be streamed.
    pub(super) fn supply_whole(&mut self, bytes: &[u8]) {
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
        // A guest has one memory. An instrumented guest has two, but nobody reads this field for it.
        self.memory = desired;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> Result<bool> {
        Ok(true)
    }
}

type Caller<'a> = StoreContextMut<'a, Host>;

/// Creates a linker with all imports of the guests.
pub(super) fn linker(engine: &Engine) -> Result<Linker<Host>> {
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
    // A guest gets an error only if a call is refused, and this host refuses no call.
    types.func_wrap("trace", |_: Caller<'_>, (_,): (u32,)| -> Result<(String,)> { bail!("no call was refused") })?;
    types.func_wrap("drop-error", |_: Caller<'_>, (_,): (u32,)| -> Result<()> { bail!("no call was refused") })?;
    add_outbound(&mut linker)?;
    Ok(linker)
}

/// Adds the imports for guests that act on the store. The value of every key is the payload of the event.
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
