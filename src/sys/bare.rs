//! The types of handles and of handlers' errors for builds with at most one host: on wasm, and natively without a test host.

use core::ops::Deref;
use std::error::Error as StdError;

/// A handle as the SDK's types keep it: the draft's number.
pub(crate) type Raw = u32;

/// The draft's number of a handle.
#[inline]
pub(crate) fn number_of(raw: Raw) -> u32 {
    raw
}

/// The handle that has this number.
#[inline]
pub(crate) fn raw_of(number: u32) -> Raw {
    number
}

/// The error of a handler. A test host keeps it for the test; no other host can.
#[derive(Debug)]
pub(crate) struct Reported(Box<dyn StdError>);

impl Reported {
    #[inline]
    #[cfg_attr(not(target_family = "wasm"), expect(dead_code, reason = "without a host there are no events"))]
    pub(crate) fn new(error: Box<dyn StdError>) -> Self {
        Self(error)
    }

    #[inline]
    pub(crate) fn into_inner(self) -> Box<dyn StdError> {
        self.0
    }
}

impl Deref for Reported {
    type Target = dyn StdError;

    #[inline]
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
