//! A host whose `size` is wrong.

use serde::{Deserialize, Serialize};

use crate::host::decorator::{Decorator, Inner};

/// The answer of `size` for a payload. Every guest must work with every answer, because the size is a hint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SizeHint {
    /// The number of bytes.
    #[default]
    True,
    /// Always 0.
    Zero,
    /// Half of the number of bytes.
    Smaller,
    /// Twice the number of bytes, and one more.
    Larger,
    /// `u64::MAX`.
    Max,
}

impl SizeHint {
    pub(super) fn decorator(self) -> Option<Box<dyn Decorator>> {
        match self {
            Self::True => None,
            _ => Some(Box::new(Misjudges(self))),
        }
    }
}

#[derive(Debug)]
struct Misjudges(SizeHint);

impl Decorator for Misjudges {
    fn size(&mut self, inner: &mut Inner<'_>, payload: u32) -> Option<u64> {
        let len = inner.size(payload)?;
        Some(match self.0 {
            SizeHint::True => len,
            SizeHint::Zero => 0,
            SizeHint::Smaller => len / 2,
            SizeHint::Larger => len.saturating_mul(2).saturating_add(1),
            SizeHint::Max => u64::MAX,
        })
    }
}
