//! How the store behind a host answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::store::{HalfWay, Refusing, Store, StoreCall};

/// How the store behind a host answers. Each deviation is a decorator around the store; without one, there is none.
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
    /// Every one of these functions is refused.
    pub(crate) fn refusing(calls: &[StoreCall], reason: &str) -> Self {
        let refuses = calls.iter().map(|call| (call.as_str().to_owned(), reason.to_owned())).collect();
        Self { refuses, ..Self::default() }
    }

    /// Puts the decorators around a store.
    pub(crate) fn around(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let store = if self.half_way { Arc::new(HalfWay::new(store)) } else { store };
        if self.refuses.is_empty() {
            return store;
        }
        let refusing = Refusing::new(store);
        for call in StoreCall::ALL {
            if let Some(reason) = self.refuses.get(call.as_str()) {
                refusing.refuse(call, reason);
            }
        }
        Arc::new(refusing)
    }
}
