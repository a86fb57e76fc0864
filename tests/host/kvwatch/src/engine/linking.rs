//! The world as wasmtime has it: every import is the function of the same name of [`inbound_keyvalue_host::Host`](Keyvalue).
//!
//! It is written out where bindings could be generated, which would copy each key and each payload once more on its way to the
//! guest.

use inbound_keyvalue_host::{Called, Host as Keyvalue, Streamed};
use wasmtime::component::types::{ComponentExtern, ComponentItem};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, InstancePre, Linker, Lower, ResourceTable, Type, TypedFunc,
};
use wasmtime::error::Context as _;
use wasmtime::{ResourceLimiter, Result, Store, StoreContextMut, bail, ensure};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The interface that every watcher exports.
pub(crate) const HANDLE_WATCH: &str = "wasi:keyvalue/handle-watch";

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

/// Defines functions of an interface.
macro_rules! define {
    ($interface:expr; $($name:literal => |$host:ident $(, $parameter:ident: $type:ty)*| $call:expr;)*) => {
        let mut interface = $interface;
        $(
            interface.func_wrap($name, |mut guest: StoreContextMut<'_, State>, ($($parameter,)*): ($($type,)*)| {
                let $host = &mut guest.data_mut().keyvalue;
                $call
            })?;
        )*
    };
}

/// All that a watcher may import: the world, and WASI.
pub(crate) fn linker(engine: &wasmtime::Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    define! { linker.instance("wasi:keyvalue/wasi-io")?;
        "read" => |host, src: u32, len: u64| streamed(host.read(src, len));
        "skip" => |host, src: u32, len: u64| streamed(host.skip(src, len));
        "write" => |host, dst: u32, buf: Vec<u8>| streamed(host.write(dst, &buf));
        "write-repeated" => |host, dst: u32, byte: u8, len: u64| streamed(host.write_repeated(dst, byte, len));
        "splice" => |host, dst: u32, src: u32, len: u64| streamed(host.splice(dst, src, len));
        "forward" => |host, dst: u32, src: u32| streamed(host.forward(dst, src));
        "drop-input-stream" => |host, f: u32| nothing(host.drop_input_stream(f));
        "drop-output-stream" => |host, f: u32| nothing(host.drop_output_stream(f));
    }
    define! { linker.instance("wasi:keyvalue/types")?;
        "drop-bucket" => |host, bucket: u32| nothing(host.drop_bucket(bucket));
        "open-bucket" => |host, name: String| called(host.open_bucket(&name));
        "drop-error" => |host, error: u32| nothing(host.drop_error(error));
        "new-error" => |host| called(host.new_error());
        "trace" => |host, error: u32| called(host.trace(error));
        "drop-value" => |host, value: u32| nothing(host.drop_value(value));
        "new-value" => |host| called(host.new_value());
        "value-write-body" => |host, value: u32| called(host.value_write_body(value));
        "drop-payload" => |host, payload: u32| nothing(host.drop_payload(payload));
        "payload-consume-sync" => |host, payload: u32| called(host.payload_consume_sync(payload));
        "payload-consume-async" => |host, payload: u32| called(host.payload_consume_async(payload));
        "size" => |host, payload: u32| called(host.size(payload));
    }
    Ok(linker)
}

/// The draft's `stream-error`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct StreamError {
    dummy: u32,
}

fn nothing(called: Called<()>) -> Result<()> {
    called.map_err(wasmtime::Error::new)
}

fn called<T>(called: Called<T>) -> Result<(T,)> {
    Ok((called.map_err(wasmtime::Error::new)?,))
}

fn streamed<T>(streamed: Streamed<T>) -> Result<(Result<T, StreamError>,)> {
    called(streamed.map(|result| result.map_err(|_| StreamError { dummy: 0 })))
}

/// The exports of one instance, as the world's `handle-watch` has them.
#[derive(Clone, Copy)]
pub(crate) struct HandleWatch {
    pub(crate) on_set: TypedFunc<(u32, &'static str, u32), ()>,
    pub(crate) on_delete: TypedFunc<(u32, &'static str), ()>,
}

/// A component with all that it imports, and where its exports are.
#[derive(Clone)]
pub(crate) struct HandleWatchPre {
    instance: InstancePre<State>,
    on_set: ComponentExportIndex,
    on_delete: ComponentExportIndex,
}

impl HandleWatchPre {
    pub(crate) fn new(linker: &Linker<State>, component: &Component) -> Result<Self> {
        let instance = linker.instantiate_pre(component)?;
        let (ComponentItem::ComponentInstance(types), interface) =
            component.get_export(None, HANDLE_WATCH).with_context(|| format!("it does not export `{HANDLE_WATCH}`"))?
        else {
            bail!("its `{HANDLE_WATCH}` is no instance");
        };
        let function = |name, parameters: &[Type]| {
            let function = types.get_export(linker.engine(), name);
            let Some(ComponentExtern { ty: ComponentItem::ComponentFunc(function), .. }) = function else {
                bail!("its `{HANDLE_WATCH}` has no function `{name}`");
            };
            let fits =
                function.results().len() == 0 && function.params().map(|(_, ty)| ty).eq(parameters.iter().cloned());
            ensure!(fits, "its `{name}` has other parameters or results than the world's");
            component.get_export_index(Some(&interface), name).context("the component has lost an export")
        };
        let on_set = function("on-set", &[Type::U32, Type::String, Type::U32])?;
        let on_delete = function("on-delete", &[Type::U32, Type::String])?;
        Ok(Self { instance, on_set, on_delete })
    }

    pub(crate) fn instantiate(&self, store: &mut Store<State>) -> Result<HandleWatch> {
        let instance = self.instance.instantiate(&mut *store)?;
        Ok(HandleWatch {
            on_set: instance.get_typed_func(&mut *store, self.on_set)?,
            on_delete: instance.get_typed_func(&mut *store, self.on_delete)?,
        })
    }
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
