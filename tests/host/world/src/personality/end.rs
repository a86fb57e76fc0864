//! A host that reports the end of an input stream separately, after the last data.

use serde::{Deserialize, Serialize};

use crate::host::decorator::{Decorator, Inner, Step};
use crate::host::{StreamError, StreamResult};

/// How a host reports the end of an input stream. Every guest must work with both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum End {
    /// It reports the end with the last data.
    #[default]
    WithData,
    /// It reports the end with an empty list after the last data.
    Alone,
}

impl End {
    pub(super) fn decorator(self) -> Option<Box<dyn Decorator>> {
        match self {
            Self::WithData => None,
            Self::Alone => Some(Box::new(TellsEndAlone)),
        }
    }
}

#[derive(Debug)]
struct TellsEndAlone;

impl Decorator for TellsEndAlone {
    fn read(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        let (data, end) = inner.read(src, len)?;
        let end = end && data.is_empty();
        Ok((data, end))
    }

    fn skip(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        let (skipped, end) = inner.skip(src, len)?;
        Ok((skipped, end && skipped == 0))
    }

    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        let answer = inner.transfer(step)?;
        Ok(answer.map(|(moved, end)| (moved, end && moved == 0)))
    }
}
