//! A host that does not trap when a guest calls with a handle that does not exist.

use serde::{Deserialize, Serialize};

use crate::accounts::Violation;
use crate::host::CallResult;
use crate::host::decorator::{Decorator, Inner};

/// The answer to a call with a handle that does not exist: the handle is unknown, was dropped before, or is of another kind.
///
/// A correct guest makes no such call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BadHandle {
    /// The call traps.
    #[default]
    Trap,
    /// The host notes the violation. The call returns its failure, or nothing if it has none.
    Note,
}

impl BadHandle {
    pub(super) fn decorator(self) -> Option<Box<dyn Decorator>> {
        match self {
            Self::Trap => None,
            Self::Note => Some(Box::new(NotesBadHandles)),
        }
    }
}

#[derive(Debug)]
struct NotesBadHandles;

impl Decorator for NotesBadHandles {
    fn bad_handle(&mut self, inner: &mut Inner<'_>, violation: Violation) -> CallResult<()> {
        inner.host.note(violation);
        Ok(())
    }
}
