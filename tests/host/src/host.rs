//! The world's imports: every one is the function of the same name of [`testing::Host`](Keyvalue).

use inbound_keyvalue::testing::{Called, Host as Keyvalue, Streamed};
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime::{ResourceLimiter, Result};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub(crate) use self::bindings::exports::wasi::keyvalue::handle_watch::Guest as HandleWatch;
use self::bindings::wasi::keyvalue::{types, wasi_io};
pub(crate) use self::bindings::{InboundKeyvalue, InboundKeyvaluePre};

#[allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "inbound-keyvalue",
        imports: { default: trappable },
    });
}

/// What stands behind one instance.
pub(crate) struct State {
    pub(crate) keyvalue: Keyvalue,
    pub(crate) memory: Memory,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    pub(crate) fn new(keyvalue: Keyvalue, memory: Memory, wasi: WasiCtx) -> Self {
        Self { keyvalue, memory, wasi, table: ResourceTable::new() }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// All that a watcher may import: the world, and WASI.
pub(crate) fn linker(engine: &wasmtime::Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    InboundKeyvalue::add_to_linker::<_, HasSelf<Keyvalue>>(&mut linker, |state: &mut State| &mut state.keyvalue)?;
    Ok(linker)
}

/// The linear memory of an instance: counted, and limited.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    limit: Option<usize>,
    size: usize,
    granted: usize,
    refused: bool,
}

impl Memory {
    pub(crate) fn new(limit: Option<u64>) -> Self {
        Self { limit: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)), ..Self::default() }
    }

    /// Starts an event.
    pub(crate) fn begin(&mut self) {
        self.refused = false;
    }

    /// How many bytes there are. Linear memory does not shrink: this is also the most that there have been.
    pub(crate) fn size(&self) -> u64 {
        self.size as u64
    }

    /// Whether the limit was in the way of this event.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let more = desired.saturating_sub(current);
        let size = self.size.saturating_add(more);
        let refused = self.limit.is_some_and(|limit| size > limit);
        self.granted = if refused { 0 } else { more };
        self.size += self.granted;
        self.refused |= refused;
        Ok(!refused)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<()> {
        self.size -= std::mem::take(&mut self.granted);
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        // A table is memory of the host's: it is not let grow past what the guest may have of its own.
        let refused = self.limit.is_some_and(|limit| desired.saturating_mul(size_of::<usize>()) > limit);
        self.refused |= refused;
        Ok(!refused)
    }
}

fn called<T>(called: Called<T>) -> Result<T> {
    called.map_err(wasmtime::Error::new)
}

fn streamed<T>(streamed: Streamed<T>) -> Result<Result<T, wasi_io::StreamError>> {
    called(streamed).map(|result| result.map_err(|_| wasi_io::StreamError { dummy: 0 }))
}

impl wasi_io::Host for Keyvalue {
    fn read(&mut self, src: u32, len: u64) -> Result<Result<(Vec<u8>, bool), wasi_io::StreamError>> {
        streamed(Keyvalue::read(self, src, len))
    }

    fn skip(&mut self, src: u32, len: u64) -> Result<Result<(u64, bool), wasi_io::StreamError>> {
        streamed(Keyvalue::skip(self, src, len))
    }

    fn write(&mut self, dst: u32, buf: Vec<u8>) -> Result<Result<u64, wasi_io::StreamError>> {
        streamed(Keyvalue::write(self, dst, &buf))
    }

    fn write_repeated(&mut self, dst: u32, byte: u8, len: u64) -> Result<Result<u64, wasi_io::StreamError>> {
        streamed(Keyvalue::write_repeated(self, dst, byte, len))
    }

    fn splice(&mut self, dst: u32, src: u32, len: u64) -> Result<Result<(u64, bool), wasi_io::StreamError>> {
        streamed(Keyvalue::splice(self, dst, src, len))
    }

    fn forward(&mut self, dst: u32, src: u32) -> Result<Result<u64, wasi_io::StreamError>> {
        streamed(Keyvalue::forward(self, dst, src))
    }

    fn drop_input_stream(&mut self, f: u32) -> Result<()> {
        called(Keyvalue::drop_input_stream(self, f))
    }

    fn drop_output_stream(&mut self, f: u32) -> Result<()> {
        called(Keyvalue::drop_output_stream(self, f))
    }
}

impl types::Host for Keyvalue {
    fn drop_bucket(&mut self, bucket: u32) -> Result<()> {
        called(Keyvalue::drop_bucket(self, bucket))
    }

    fn open_bucket(&mut self, name: String) -> Result<Result<u32, u32>> {
        called(Keyvalue::open_bucket(self, &name))
    }

    fn drop_error(&mut self, error: u32) -> Result<()> {
        called(Keyvalue::drop_error(self, error))
    }

    fn new_error(&mut self) -> Result<u32> {
        called(Keyvalue::new_error(self))
    }

    fn trace(&mut self, error: u32) -> Result<String> {
        called(Keyvalue::trace(self, error))
    }

    fn drop_value(&mut self, value: u32) -> Result<()> {
        called(Keyvalue::drop_value(self, value))
    }

    fn new_value(&mut self) -> Result<u32> {
        called(Keyvalue::new_value(self))
    }

    fn value_write_body(&mut self, value: u32) -> Result<Result<u32, ()>> {
        called(Keyvalue::value_write_body(self, value))
    }

    fn drop_payload(&mut self, payload: u32) -> Result<()> {
        called(Keyvalue::drop_payload(self, payload))
    }

    fn payload_consume_sync(&mut self, payload: u32) -> Result<Result<Vec<u8>, u32>> {
        called(Keyvalue::payload_consume_sync(self, payload))
    }

    fn payload_consume_async(&mut self, payload: u32) -> Result<Result<u32, u32>> {
        called(Keyvalue::payload_consume_async(self, payload))
    }

    fn size(&mut self, payload: u32) -> Result<u64> {
        called(Keyvalue::size(self, payload))
    }
}
