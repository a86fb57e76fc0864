//! The programs with which kvwatch is compared: a consumer on `async-nats`, written as its documentation shows.

use std::fmt;
use std::hint::black_box;
use std::path::Path;
use std::str::FromStr;

use async_nats::jetstream;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::error::Context as _;
use wasmtime::{Engine, Error, Result, Store, StoreContextMut, format_err};

#[path = "../../guests/sum.rs"]
mod sum;

/// The first argument of this program when it runs as a rival.
pub(crate) const COMMAND: &str = "consume";

/// The maximum number of acks that wait for their confirmation at the same time.
const IN_FLIGHT: usize = 100;

/// The work for each event, before its ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    None,
    /// No work, but the server confirms the ack.
    ConfirmedAcks,
    Native,
    Wasmtime,
}

impl Work {
    const ALL: [Self; 4] = [Self::None, Self::ConfirmedAcks, Self::Native, Self::Wasmtime];
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::ConfirmedAcks => "confirmed-acks",
            Self::Native => "native",
            Self::Wasmtime => "wasmtime",
        })
    }
}

impl FromStr for Work {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|work| work.to_string() == text).with_context(|| format!("unknown work: {text}"))
    }
}

/// Does the work for an event with this key and payload.
type Handler = dyn FnMut(&str, &Bytes) -> Result<()> + Send;

/// Consumes the events of a bucket forever.
pub(crate) async fn consume(work: Work, url: &str, bucket: &str, name: &str, watcher: &Path) -> Result<()> {
    let mut handle: Box<Handler> = match work {
        Work::None | Work::ConfirmedAcks => Box::new(|_, _| Ok(())),
        Work::Native => {
            let mut total = 0;
            Box::new(move |_, payload| {
                total = black_box(sum::add(total, payload));
                Ok(())
            })
        }
        Work::Wasmtime => {
            let mut watcher = ByHand::load(watcher)?;
            Box::new(move |key, payload| watcher.set(key, payload.clone()))
        }
    };
    let context = jetstream::new(async_nats::connect(url).await?);
    let stream = context.get_stream(format!("KV_{bucket}")).await?;
    let config = Config { durable_name: Some(name.to_owned()), ack_policy: AckPolicy::Explicit, ..Config::default() };
    let mut messages = stream.create_consumer(config).await?.messages().await?;
    let mut acks = FuturesUnordered::new();
    loop {
        let message = tokio::select! {
            Some(acked) = acks.next() => {
                let acked: Result<(), async_nats::Error> = acked;
                acked.map_err(|cause| format_err!("{cause}"))?;
                continue;
            }
            message = messages.next(), if acks.len() < IN_FLIGHT => message,
        };
        let Some(message) = message else { return Ok(()) };
        let message = message?;
        handle(&message.subject, &message.payload)?;
        if work == Work::ConfirmedAcks {
            acks.push(async move { message.double_ack().await });
        } else {
            message.ack().await.map_err(|cause| format_err!("{cause}"))?;
        }
    }
}

/// A watcher on wasmtime with only the imports that it uses.
struct ByHand {
    store: Store<Bytes>,
    on_set: TypedFunc<(u32, String, u32), ()>,
}

impl ByHand {
    fn load(path: &Path) -> Result<Self> {
        type Caller<'a> = StoreContextMut<'a, Bytes>;
        let engine = Engine::default();
        let component = Component::from_file(&engine, path)?;
        let mut linker = Linker::new(&engine);
        // The SDK also imports functions for failures. Nothing fails here.
        linker.define_unknown_imports_as_traps(&component)?;
        linker.allow_shadowing(true);
        let mut types = linker.instance("wasi:keyvalue/types")?;
        types.func_wrap("drop-bucket", |_: Caller<'_>, (_,): (u32,)| Ok(()))?;
        types.func_wrap("drop-payload", |_: Caller<'_>, (_,): (u32,)| Ok(()))?;
        types.func_wrap("payload-consume-sync", |mut caller: Caller<'_>, (_,): (u32,)| {
            Ok((Ok::<_, u32>(Vec::from(std::mem::take(caller.data_mut()))),))
        })?;
        let mut store = Store::new(&engine, Bytes::new());
        let instance = linker.instantiate(&mut store, &component)?;
        let interface = component
            .get_export_index(None, "wasi:keyvalue/handle-watch")
            .context("the component does not export `handle-watch`")?;
        let on_set =
            component.get_export_index(Some(&interface), "on-set").context("`handle-watch` has no `on-set`")?;
        let on_set = instance.get_typed_func(&mut store, on_set)?;
        Ok(Self { store, on_set })
    }

    fn set(&mut self, key: &str, payload: Bytes) -> Result<()> {
        *self.store.data_mut() = payload;
        self.on_set.call(&mut self.store, (1, key.to_owned(), 2))
    }
}
