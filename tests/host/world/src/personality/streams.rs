//! The settings of streams. Each has its behaviour in a file of its own.

use serde::{Deserialize, Serialize};

use super::after_end::AfterEnd;
use super::end::End;
use super::repeat::Repeat;
use super::size::Size;

/// How input streams behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Reading {
    /// How much of what the guest asks for one call gives.
    pub size: Size,
    /// How the end is told.
    pub end: End,
    /// How many calls give nothing, without the end, before each piece of data and before the end.
    pub empty: Repeat,
    /// How many bytes more than the guest asked for a call gives.
    pub excess: u64,
    /// The byte of the stream at which it fails.
    pub error_at: Option<u64>,
    /// What a read after the end gives.
    pub after_end: AfterEnd,
    /// The most bytes that one call gives. By default 1 MiB.
    pub most: u64,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            size: Size::Full,
            end: End::WithData,
            empty: Repeat::Times(0),
            excess: 0,
            error_at: None,
            after_end: AfterEnd::End,
            most: 1024 * 1024,
        }
    }
}

/// How output streams behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Writing {
    /// How much of what the guest writes one call takes.
    pub size: Size,
    /// How many calls take nothing, before each call that takes something.
    pub empty: Repeat,
    /// How many bytes more than the guest wrote a call claims to have taken.
    pub excess: u64,
    /// The byte of the stream at which it fails.
    pub error_at: Option<u64>,
}

impl Default for Writing {
    fn default() -> Self {
        Self { size: Size::Full, empty: Repeat::Times(0), excess: 0, error_at: None }
    }
}
