//! How output streams behave.

use serde::{Deserialize, Serialize};

use super::flow::{Repeat, Size};

/// How output streams behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Writing {
    /// How much of what is given is taken.
    pub size: Size,
    /// How many times nothing is taken before something is.
    pub empty: Repeat,
    /// How many bytes more than were given it claims to have taken.
    pub excess: u64,
    /// At which byte of the stream it fails, if at any.
    pub error_at: Option<u64>,
}

impl Default for Writing {
    fn default() -> Self {
        Self { size: Size::Full, empty: Repeat::Times(0), excess: 0, error_at: None }
    }
}

impl Writing {
    /// The most of `len` bytes that a stream takes to which `written` bytes were written. `None` if the stream fails there.
    pub(crate) fn most(&self, len: u64, written: u64) -> Option<u64> {
        let before_error = self.error_at.map_or(u64::MAX, |at| at.saturating_sub(written));
        (before_error > 0).then(|| len.min(before_error))
    }

    /// The number of bytes that a call claims to have taken, of the `len` that the guest wrote.
    pub(crate) fn claimed(&self, taken: u64, len: u64) -> u64 {
        if self.excess > 0 && taken > 0 { len.saturating_add(self.excess) } else { taken }
    }
}
