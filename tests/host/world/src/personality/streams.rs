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
    /// The number of bytes that one call returns, of the bytes that the guest asks for.
    pub size: Size,
    /// How the end is reported.
    pub end: End,
    /// The number of calls that return neither data nor the end, before each piece of data and before the end.
    pub empty: Repeat,
    /// The number of bytes that a call returns in addition to the bytes that the guest asked for.
    pub excess: u64,
    /// The position of the byte at which the stream fails.
    pub error_at: Option<u64>,
    /// The answer to a read after the end.
    pub after_end: AfterEnd,
    /// The most bytes that one call returns. By default 1 MiB.
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
    /// The number of bytes that one call takes, of the bytes that the guest writes.
    pub size: Size,
    /// The number of calls that take no bytes, before each call that takes some.
    pub empty: Repeat,
    /// The number of bytes that a call claims to have taken in addition to the bytes that the guest wrote.
    pub excess: u64,
    /// The position of the byte at which the stream fails.
    pub error_at: Option<u64>,
}

impl Default for Writing {
    fn default() -> Self {
        Self { size: Size::Full, empty: Repeat::Times(0), excess: 0, error_at: None }
    }
}
