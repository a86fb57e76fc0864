//! A host in which the handle of a payload stays after the guest has consumed the payload.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::accounts::{Fault, HandleKind};
use crate::host::decorator::{Decorator, Inner};
use crate::host::object::Payload;

/// The fate of a payload's handle when the guest consumes the payload. Every guest must work with both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConsumedPayload {
    /// The handle is gone, even if the call fails.
    #[default]
    Gone,
    /// The handle stays, and the host drops it after the event. If a guest uses it, it breaks a rule, but the call works.
    Stays,
}

impl ConsumedPayload {
    pub(super) fn decorator(self) -> Option<Box<dyn Decorator>> {
        match self {
            Self::Gone => None,
            Self::Stays => Some(Box::new(KeepsConsumedPayloads::default())),
        }
    }
}

#[derive(Debug, Default)]
struct KeepsConsumedPayloads {
    /// The lengths of the consumed payloads, by their handles.
    spent: HashMap<u32, u64>,
}

impl KeepsConsumedPayloads {
    /// The length of a payload that was consumed before. A call with it is a violation.
    fn spent(&self, inner: &mut Inner<'_>, call: &'static str, payload: u32) -> Option<u64> {
        let len = *self.spent.get(&payload)?;
        inner.host.violate(Fault::ConsumedBefore, HandleKind::Payload, payload, call);
        Some(len)
    }
}

impl Decorator for KeepsConsumedPayloads {
    fn consume(&mut self, inner: &mut Inner<'_>, call: &'static str, payload: u32) -> Option<Result<Payload, String>> {
        if self.spent(inner, call, payload).is_some() {
            return None;
        }
        let consumed = inner.host.spend_payload(payload)?;
        self.spent.insert(payload, consumed.content.len());
        Some(Ok(consumed))
    }

    fn size(&mut self, inner: &mut Inner<'_>, payload: u32) -> Option<u64> {
        self.spent(inner, "size", payload).or_else(|| inner.size(payload))
    }

    fn drop_payload(&mut self, inner: &mut Inner<'_>, payload: u32) -> Option<()> {
        self.spent(inner, "drop-payload", payload);
        inner.drop_payload(payload)
    }

    fn gone(&mut self, kind: HandleKind, handle: u32) {
        if kind == HandleKind::Payload {
            self.spent.remove(&handle);
        }
    }
}
