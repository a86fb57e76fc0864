//! What `size` answers.

use serde::{Deserialize, Serialize};

/// What `size` says of a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SizeHint {
    /// The truth.
    #[default]
    True,
    /// 0, always.
    Zero,
    /// Half of it.
    Smaller,
    /// Twice as much, and one.
    Larger,
    /// `u64::MAX`.
    Max,
}

impl SizeHint {
    /// The answer for a payload of `len` bytes.
    pub(crate) fn of(self, len: u64) -> u64 {
        match self {
            Self::True => len,
            Self::Zero => 0,
            Self::Smaller => len / 2,
            Self::Larger => len.saturating_mul(2).saturating_add(1),
            Self::Max => u64::MAX,
        }
    }
}
