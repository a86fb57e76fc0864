//! How a host numbers handles.

use serde::{Deserialize, Serialize};

/// How a host numbers handles. Every guest must work with every numbering.
///
/// The default is one sequence for all kinds, from 3, as in the hosts that shared one table with the standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Numbering {
    /// Whether each kind has a sequence of its own, so that two handles of different kinds can have the same number.
    pub per_kind: bool,
    /// The first number.
    pub first: u32,
    /// Whether a new handle can get the number of a dropped one, so that a stale number can name a live handle.
    pub reuse: bool,
}

impl Default for Numbering {
    fn default() -> Self {
        Self { per_kind: false, first: 3, reuse: false }
    }
}
