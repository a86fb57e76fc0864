use serde::{Deserialize, Serialize};

/// How long an instance of the guest lasts. Every guest must work with both.
///
/// The program that runs the guest does this, not the host of an instance: the SDK's `TestHost`, or a session of `kvwatch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Instance {
    /// An instance lasts for all events, until one traps.
    #[default]
    Kept,
    /// An instance lasts for one event.
    PerEvent,
}
