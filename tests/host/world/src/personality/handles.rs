//! How a host numbers handles, and how long handles and instances last.

use serde::{Deserialize, Serialize};

/// How handles are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Numbering {
    /// Whether each kind counts for itself, so that equal numbers of two kinds are two things.
    pub per_kind: bool,
    /// The first number.
    pub first: u32,
    /// Whether the number of a dropped handle is given out again, so that a stale one may hit a live one.
    pub reuse: bool,
}

/// One table for all kinds, from 3, as in the hosts that shared theirs with the standard streams.
impl Default for Numbering {
    fn default() -> Self {
        Self { per_kind: false, first: 3, reuse: false }
    }
}

/// What becomes of a call with a handle that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BadHandle {
    /// It traps.
    #[default]
    Trap,
    /// It is noted, and answered with the call's failure, or with nothing.
    Note,
}

/// What becomes of a payload's handle when it is consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ConsumedPayload {
    /// It is gone, whether consuming worked or not.
    #[default]
    Gone,
    /// It stays, and the host drops it after the event. Dropping it is noted.
    Stays,
}

/// How long an instance lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Instance {
    /// For all events, until one traps.
    #[default]
    Kept,
    /// For one event.
    PerEvent,
}
