//! A host that returns the data again when a guest reads after the end.

use serde::{Deserialize, Serialize};

use crate::host::decorator::{Decorator, Inner, Step};
use crate::host::{StreamError, StreamResult};

/// The answer to a read after the end. A correct guest makes no such read.
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

impl AfterEnd {
    pub(super) fn decorator(self) -> Option<Box<dyn Decorator>> {
        match self {
            Self::End => None,
            Self::Repeats => Some(Box::new(RepeatsAfterEnd)),
        }
    }
}

#[derive(Debug)]
struct RepeatsAfterEnd;

/// Starts an input stream again if its end was reported to the guest.
fn repeat_ended(inner: &mut Inner<'_>, src: u32) {
    if let Some(input) = inner.host.input(src).filter(|input| input.ended) {
        input.offset = 0;
    }
}

impl Decorator for RepeatsAfterEnd {
    fn read(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        repeat_ended(inner, src);
        inner.read(src, len)
    }

    fn skip(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        repeat_ended(inner, src);
        inner.skip(src, len)
    }

    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        repeat_ended(inner, step.src);
        inner.transfer(step)
    }
}
