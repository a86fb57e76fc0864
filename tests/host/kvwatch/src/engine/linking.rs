//! Links a component with wasmtime. Every import is the function of the same name of [`inbound_keyvalue_host::Host`](Keyvalue).
//!
//! The functions are written by hand. Generated bindings would copy each key and each payload once more on its way to the guest.

use std::sync::Arc;

use inbound_keyvalue_host::{CallResult, Host as Keyvalue, StreamResult};
use wasmtime::component::types::{ComponentExtern, ComponentItem};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentType, Instance, InstancePre, Linker, Lower, ResourceTable, ResourceType,
    Type, TypedFunc, WasmList,
};
use wasmtime::error::Context as _;
use wasmtime::{Result, Store, StoreContextMut, Trap, bail, ensure};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::limits::Memory;
use super::outbound;

/// The interface that every watcher exports.
pub(crate) const HANDLE_WATCH: &str = "wasi:keyvalue/handle-watch";

/// The state of the host for one instance.
pub(crate) struct State {
    pub(crate) keyvalue: Keyvalue,
    pub(crate) memory: Memory,
    /// The number of calls in this event that ended with an error of the draft. Only the guest sees the error itself.
    pub(crate) failures: u64,
    counts_fuel: bool,
    /// The error of the grants that could not be applied.
    denied: Option<wasmtime::Error>,
    wasi: WasiCtx,
    table: ResourceTable,
    #[cfg(feature = "http")]
    pub(crate) http: super::http::Http,
}

impl State {
    pub(crate) fn new(
        keyvalue: Keyvalue,
        memory: Memory,
        counts_fuel: bool,
        wasi: WasiCtx,
        denied: Option<wasmtime::Error>,
        #[cfg(feature = "http")] http: super::http::Http,
    ) -> Self {
        Self {
            keyvalue,
            memory,
            failures: 0,
            counts_fuel,
            denied,
            wasi,
            table: ResourceTable::new(),
            #[cfg(feature = "http")]
            http,
        }
    }

    /// Whether there is something for [`Outcome::values`](super::Outcome::values), [`Outcome::changes`](super::Outcome::changes) or
    /// [`Outcome::denied_hosts`](super::Outcome::denied_hosts).
    #[inline]
    pub(crate) fn has_details(&self) -> bool {
        #[cfg(feature = "http")]
        if self.http.has_denied() {
            return true;
        }
        !self.keyvalue.values().is_empty() || !self.keyvalue.changes().is_empty()
    }

    /// The hosts that the gate denied requests to since the last call.
    #[cfg_attr(not(feature = "http"), expect(clippy::unused_self, reason = "without HTTP there is nothing to deny"))]
    pub(crate) fn take_denied_hosts(&mut self) -> Vec<String> {
        #[cfg(feature = "http")]
        return self.http.take_denied();
        #[cfg(not(feature = "http"))]
        Vec::new()
    }

    /// Fails if the instance does not have everything that was granted.
    pub(crate) fn granted(&mut self) -> Result<()> {
        self.denied.take().map_or(Ok(()), Err)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[cfg(feature = "http")]
impl wasmtime_wasi_http::WasiHttpView for State {
    fn http(&mut self) -> wasmtime_wasi_http::WasiHttpCtxView<'_> {
        wasmtime_wasi_http::WasiHttpCtxView {
            hooks: &mut self.http.gate,
            table: &mut self.table,
            ctx: &mut self.http.context,
        }
    }
}

/// Defines functions of an interface.
macro_rules! define {
    ($interface:expr; $($name:literal => |$host:ident $(, $parameter:ident: $type:ty)*| $call:expr;)*) => {
        let mut interface = $interface;
        $(
            interface.func_wrap($name, |mut guest: StoreContextMut<'_, State>, ($($parameter,)*): ($($type,)*)| {
                let $host = &mut guest.data_mut().keyvalue;
                let result = $call?;
                account(guest, &result)?;
                Ok(result)
            })?;
        )*
    };
}

/// All functions that a watcher may import. For a watcher that never waits.
pub(crate) fn direct(engine: &wasmtime::Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    world(&mut linker)?;
    define! { linker.instance("wasi:keyvalue/types")?;
        "open-bucket" => |host, name: String| call_result(host.open_bucket(&name));
    }
    Ok(linker)
}

/// All functions that a watcher may import. For a watcher that may wait, which runs in a fiber.
pub(crate) fn waiting(engine: &wasmtime::Engine) -> Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    #[cfg(feature = "http")]
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    world(&mut linker)?;
    outbound::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Adds functions that trap for every function of an import.
pub(crate) fn stub(linker: &mut Linker<State>, component: &Component, import: &str) -> Result<()> {
    let engine = linker.engine().clone();
    let types = component.component_type();
    let Some(ComponentExtern { ty: ComponentItem::ComponentInstance(interface), .. }) =
        types.get_import(&engine, import)
    else {
        bail!("its import `{import}` is not an interface, and cannot be a stub");
    };
    let mut instance = linker.instance(import)?;
    for (name, item) in interface.exports(&engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                let function = format!("it called `{name}` of `{import}`, which is only a stub here");
                instance.func_new(name, move |_, _, _, _| Err(wasmtime::Error::msg(function.clone())))?;
            }
            ComponentItem::Resource(_) => instance.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
            _ => {}
        }
    }
    Ok(())
}

/// The fuel for a call of the host, and the number of bytes that the host moves for one unit of fuel more.
const FUEL_FOR_A_CALL: u64 = 100;
const BYTES_FOR_FUEL: u64 = 8;

/// Counts a call that failed, and takes the fuel for a call. Without this cost, a guest could make the host work without a limit.
#[inline]
pub(crate) fn account(mut guest: StoreContextMut<'_, State>, result: &impl Answer) -> Result<()> {
    if result.failed() {
        guest.data_mut().failures += 1;
    }
    if !guest.data().counts_fuel {
        return Ok(());
    }
    let price = FUEL_FOR_A_CALL.saturating_add(result.moved() / BYTES_FOR_FUEL);
    let left = guest.get_fuel()?.checked_sub(price);
    guest.set_fuel(left.unwrap_or(0))?;
    left.map(|_| ()).ok_or_else(|| Trap::OutOfFuel.into())
}

/// The answer of a host function to the guest.
pub(crate) trait Answer {
    /// The number of bytes that the host moved for this answer.
    fn moved(&self) -> u64 {
        0
    }

    /// Whether the host failed, and the answer is an error.
    fn failed(&self) -> bool {
        false
    }
}

impl Answer for () {}
impl Answer for (u32,) {}
impl Answer for (u64,) {}

impl Answer for (Vec<String>,) {
    fn moved(&self) -> u64 {
        self.0.iter().map(|key| key.len() as u64).sum()
    }
}

impl Answer for (String,) {
    fn moved(&self) -> u64 {
        self.0.len() as u64
    }
}

impl<T: Moved<E>, E> Answer for (Result<T, E>,) {
    fn moved(&self) -> u64 {
        self.0.as_ref().map_or(0, Moved::bytes)
    }

    fn failed(&self) -> bool {
        self.0.is_err()
    }
}

/// The part of an answer that is not an error `E`.
pub(crate) trait Moved<E> {
    /// The number of bytes that the host moved.
    fn bytes(&self) -> u64 {
        0
    }
}

impl<E> Moved<E> for () {}
impl<E> Moved<E> for bool {}
impl<E> Moved<E> for u32 {}
impl<E> Moved<E> for Vec<u32> {}

impl<E> Moved<E> for Arc<Vec<u8>> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl<E> Moved<E> for (Vec<u8>, bool) {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }
}

impl<E> Moved<E> for (u64, bool) {
    fn bytes(&self) -> u64 {
        self.0
    }
}

/// A call on a stream answers the number of bytes.
impl Moved<StreamError> for u64 {
    fn bytes(&self) -> u64 {
        *self
    }
}

/// A call on the store answers a number of the store.
impl Moved<u32> for u64 {}

/// The world's own functions, without `open-bucket`. The store may answer that call later, so each linker has its own.
fn world(linker: &mut Linker<State>) -> Result<()> {
    define! { linker.instance("wasi:keyvalue/wasi-io")?;
        "read" => |host, src: u32, len: u64| stream_result(host.read(src, len));
        "skip" => |host, src: u32, len: u64| stream_result(host.skip(src, len));
        "write-repeated" => |host, dst: u32, byte: u8, len: u64| stream_result(host.write_repeated(dst, byte, len));
        "splice" => |host, dst: u32, src: u32, len: u64| stream_result(host.splice(dst, src, len));
        "forward" => |host, dst: u32, src: u32| stream_result(host.forward(dst, src));
        "drop-input-stream" => |host, f: u32| nothing(host.drop_input_stream(f));
        "drop-output-stream" => |host, f: u32| nothing(host.drop_output_stream(f));
    }
    let write = |mut guest: StoreContextMut<'_, State>, (dst, buf): (u32, WasmList<u8>)| {
        // If the parameter were a `Vec`, code that is not optimised would copy it byte by byte.
        let buf = buf.as_le_slice(&guest).to_vec();
        let result = stream_result(guest.data_mut().keyvalue.write(dst, &buf))?;
        account(guest, &result)?;
        Ok(result)
    };
    linker.instance("wasi:keyvalue/wasi-io")?.func_wrap("write", write)?;
    define! { linker.instance("wasi:keyvalue/types")?;
        "drop-bucket" => |host, bucket: u32| nothing(host.drop_bucket(bucket));
        "drop-error" => |host, error: u32| nothing(host.drop_error(error));
        "new-error" => |host| call_result(host.new_error());
        "trace" => |host, error: u32| call_result(host.trace(error));
        "drop-value" => |host, value: u32| nothing(host.drop_value(value));
        "new-value" => |host| call_result(host.new_value());
        "value-write-body" => |host, value: u32| call_result(host.value_write_body(value));
        "drop-payload" => |host, payload: u32| nothing(host.drop_payload(payload));
        "payload-consume-sync" => |host, payload: u32| call_result(host.payload_consume_sync(payload));
        "payload-consume-async" => |host, payload: u32| call_result(host.payload_consume_async(payload));
        "size" => |host, payload: u32| call_result(host.size(payload));
    }
    Ok(())
}

/// The draft's `stream-error`.
#[derive(ComponentType, Lower)]
#[component(record)]
struct StreamError {
    dummy: u32,
}

fn nothing(result: CallResult<()>) -> Result<()> {
    result.map_err(wasmtime::Error::new)
}

pub(crate) fn call_result<T>(result: CallResult<T>) -> Result<(T,)> {
    Ok((result.map_err(wasmtime::Error::new)?,))
}

fn stream_result<T>(result: StreamResult<T>) -> Result<(Result<T, StreamError>,)> {
    call_result(result.map(|answer| answer.map_err(|_| StreamError { dummy: 0 })))
}

/// The exports of one instance: the functions of the world's `handle-watch`.
#[derive(Clone, Copy)]
pub(crate) struct HandleWatch {
    pub(crate) on_set: TypedFunc<(u32, &'static str, u32), ()>,
    pub(crate) on_delete: TypedFunc<(u32, &'static str), ()>,
}

/// A linked component, and the indexes of its exports.
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
        self.exports(store, &instance)
    }

    pub(crate) async fn instantiate_async(&self, store: &mut Store<State>) -> Result<HandleWatch> {
        let instance = self.instance.instantiate_async(&mut *store).await?;
        self.exports(store, &instance)
    }

    fn exports(&self, store: &mut Store<State>, instance: &Instance) -> Result<HandleWatch> {
        Ok(HandleWatch {
            on_set: instance.get_typed_func(&mut *store, self.on_set)?,
            on_delete: instance.get_typed_func(&mut *store, self.on_delete)?,
        })
    }
}
