//! A host whose store refuses calls, or fails in the middle of a batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::host::decorator::Decorator;
use crate::store::{HalfWay, Refusing, Store, StoreCall};

/// How the store behind a host answers. Each deviation may fail a guest that acts on the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Outbound {
    /// The functions that the store refuses, by the draft's names, with the reason of each.
    pub refuses: BTreeMap<String, String>,
    /// Whether batches fail after their first half.
    pub half_way: bool,
}

impl Outbound {
    /// The store refuses all of these functions.
    pub(super) fn refusing(calls: &[StoreCall], reason: &str) -> Self {
        let refuses = calls.iter().map(|call| (call.as_str().to_owned(), reason.to_owned())).collect();
        Self { refuses, ..Self::default() }
    }

    pub(super) fn decorator(&self) -> Option<Box<dyn Decorator>> {
        if *self == Self::default() { None } else { Some(Box::new(FailsActions(self.clone()))) }
    }
}

#[derive(Debug)]
struct FailsActions(Outbound);

impl Decorator for FailsActions {
    fn around_store(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let Outbound { refuses, half_way } = &self.0;
        let store = if *half_way { Arc::new(HalfWay::new(store)) } else { store };
        if refuses.is_empty() {
            return store;
        }
        let refusing = Refusing::new(store);
        for call in StoreCall::ALL {
            if let Some(reason) = refuses.get(call.as_str()) {
                refusing.refuse(call, reason);
            }
        }
        Arc::new(refusing)
    }
}
