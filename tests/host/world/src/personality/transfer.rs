//! A host without `splice` and `forward`.

use serde::{Deserialize, Serialize};

use crate::host::StreamResult;
use crate::host::decorator::{Decorator, Inner, Step};

/// Whether `splice` and `forward` work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transfer {
    /// They work.
    #[default]
    Works,
    /// They trap, as in most hosts of the draft's time. This fails a guest that calls them.
    Traps,
}

impl Transfer {
    pub(super) fn decorator(self) -> Option<Box<dyn Decorator>> {
        match self {
            Self::Works => None,
            Self::Traps => Some(Box::new(CannotTransfer)),
        }
    }
}

#[derive(Debug)]
struct CannotTransfer;

impl Decorator for CannotTransfer {
    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        Err(inner.host.trap(format!("`{}` is not implemented by this host", step.call)))
    }
}
