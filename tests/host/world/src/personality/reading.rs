//! How input streams behave.

use serde::{Deserialize, Serialize};

use super::flow::{Repeat, Size};

/// How input streams behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Reading {
    /// How much of what was asked for is given.
    pub size: Size,
    /// How the end is told.
    pub end: End,
    /// How many times nothing is given, without the end, before each piece of data and before the end.
    pub empty: Repeat,
    /// How many bytes more than were asked for are given.
    pub excess: u64,
    /// At which byte of the stream it fails, if at any.
    pub error_at: Option<u64>,
    /// What a read after the end gives.
    pub after_end: AfterEnd,
    /// The most that one read gives, whatever is asked for.
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

/// How the end of an input stream is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum End {
    /// With the last data.
    #[default]
    WithData,
    /// Alone, with an empty list after the last data.
    Alone,
}

/// What a read after the end gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AfterEnd {
    /// The end again.
    #[default]
    End,
    /// The same data again, from the start.
    Repeats,
}

/// The most bytes that a `read` answers with, even with an excess.
const MOST_ANSWERED: u64 = 32 * 1024 * 1024;

impl Reading {
    /// The most that a call takes from a stream of which `left` bytes are left after `offset`. `None` if the stream fails there.
    pub(crate) fn most(&self, len: u64, offset: u64, left: u64) -> Option<u64> {
        let before_error = self.error_at.map_or(u64::MAX, |at| at.saturating_sub(offset));
        (before_error > 0).then(|| len.min(left).min(self.most).min(before_error))
    }

    /// Whether a call for `len` bytes that takes `taken` of the `left` bytes reports the end.
    pub(crate) fn ends(&self, len: u64, taken: u64, left: u64) -> bool {
        // A read of length 0 does not report the end before the data was read.
        (len > 0 || left == 0)
            && match self.end {
                End::WithData => taken == left,
                End::Alone => left == 0,
            }
    }

    /// The number of bytes that a call claims to have taken, of the `len` that the guest asked for.
    pub(crate) fn claimed(&self, taken: u64, len: u64) -> u64 {
        if self.excess > 0 && taken > 0 { len.saturating_add(self.excess) } else { taken }
    }

    /// Adds the excess to the answer of a `read` of `len` bytes. The answer is bounded, as that of every host.
    pub(crate) fn exceed(&self, data: &mut Vec<u8>, len: u64) {
        let taken = data.len() as u64;
        let answer = self.claimed(taken, len).min(MOST_ANSWERED).max(taken);
        if answer > taken {
            data.resize(usize::try_from(answer).unwrap_or(data.len()), b'+');
        }
    }
}
