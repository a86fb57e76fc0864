use std::borrow::BorrowMut;
use std::iter::FusedIterator;

use bytes::Bytes;

use super::input::InputStream;
use crate::error::Error;

/// Iteration over chunks.
impl InputStream {
    /// The chunks up to the end, or up to and including the first error. To give up the stream, write `for chunk in stream`.
    ///
    /// # Errors
    ///
    /// Each item is a result of [`chunk`](Self::chunk).
    ///
    /// ```
    /// # use inbound_keyvalue::{Error, InputStream};
    /// fn length(stream: &mut InputStream) -> Result<u64, Error> {
    ///     stream.chunks().map(|chunk| Ok(chunk?.len() as u64)).sum()
    /// }
    /// ```
    pub fn chunks(&mut self) -> Chunks<'_> {
        Chunks { stream: Some(self) }
    }
}

/// The chunks of an [`InputStream`] that stays with its owner. [`InputStream::chunks`] makes it.
#[derive(Debug)]
pub struct Chunks<'a> {
    stream: Option<&'a mut InputStream>,
}

impl Iterator for Chunks<'_> {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        next_chunk(&mut self.stream)
    }
}

impl FusedIterator for Chunks<'_> {}

/// The chunks of an [`InputStream`] that this iterator owns. `for chunk in stream` makes it.
///
/// The stream is dropped at its end or after its first error.
///
/// ```
/// # use inbound_keyvalue::{Error, InputStream};
/// fn length(stream: InputStream) -> Result<usize, Error> {
///     let mut length = 0;
///     for chunk in stream {
///         length += chunk?.len();
///     }
///     Ok(length)
/// }
/// ```
#[derive(Debug)]
pub struct IntoChunks {
    stream: Option<InputStream>,
}

impl Iterator for IntoChunks {
    type Item = Result<Bytes, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        next_chunk(&mut self.stream)
    }
}

impl FusedIterator for IntoChunks {}

fn next_chunk(stream: &mut Option<impl BorrowMut<InputStream>>) -> Option<Result<Bytes, Error>> {
    let chunk = stream.as_mut()?.borrow_mut().chunk().transpose();
    if !matches!(chunk, Some(Ok(_))) {
        *stream = None;
    }
    chunk
}

/// Iterates over the stream's chunks.
impl IntoIterator for InputStream {
    type Item = Result<Bytes, Error>;
    type IntoIter = IntoChunks;

    fn into_iter(self) -> IntoChunks {
        IntoChunks { stream: Some(self) }
    }
}
