//! A host that refuses to open buckets, to consume payloads and to write values. This fails a guest that makes the call.

use std::sync::Arc;

use super::Personality;
use crate::host::CallResult;
use crate::host::decorator::{Decorator, Inner};
use crate::host::object::Payload;
use crate::store::{Refusing, Store, StoreCall};

#[derive(Debug)]
struct Refuses {
    open_bucket: Option<String>,
    consume_sync: Option<String>,
    consume_async: Option<String>,
    value_body: bool,
}

pub(super) fn decorator(personality: &Personality) -> Option<Box<dyn Decorator>> {
    let refuses = Refuses {
        open_bucket: personality.open_bucket_error.clone(),
        consume_sync: personality.consume_sync_error.clone(),
        consume_async: personality.consume_async_error.clone(),
        value_body: personality.value_body_error,
    };
    let Refuses { open_bucket, consume_sync, consume_async, value_body } = &refuses;
    let refuses_any = *value_body || [open_bucket, consume_sync, consume_async].iter().any(|trace| trace.is_some());
    if refuses_any { Some(Box::new(refuses)) } else { None }
}

impl Decorator for Refuses {
    fn consume(&mut self, inner: &mut Inner<'_>, call: &'static str, payload: u32) -> Option<Result<Payload, String>> {
        // A refusal consumes the payload as well.
        let consumed = inner.consume(call, payload)?;
        let refusal = if call == "payload-consume-sync" { &self.consume_sync } else { &self.consume_async };
        Some(refusal.clone().map_or(consumed, Err))
    }

    fn value_write_body(&mut self, inner: &mut Inner<'_>, value: u32) -> CallResult<Result<u32, ()>> {
        if self.value_body { Ok(Err(())) } else { inner.value_write_body(value) }
    }

    fn around_store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let Some(trace) = &self.open_bucket else { return store };
        let refusing = Refusing::new(store);
        refusing.refuse(StoreCall::OpenBucket, trace);
        Arc::new(refusing)
    }
}
