//! The bytes that a stream has read from the host and not given out yet.

use std::cell::Cell;
use std::fmt;

thread_local! {
    /// The memory of the last buffer, for the next one. Most watchers read one stream after the other, and then only the first
    /// stream allocates. wasm has one thread, and this is a plain static there.
    static SPARE: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// One chunk. Its first bytes may have been given out already.
pub(super) struct Buffer {
    /// `None` until it is needed. Dropping an empty `Vec` would cost a call.
    chunk: Option<Vec<u8>>,
    /// At most the length of the chunk.
    consumed: usize,
}

impl Buffer {
    #[inline]
    pub(super) fn new() -> Self {
        Self { chunk: None, consumed: 0 }
    }

    /// The bytes that were not given out yet.
    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.chunk.as_deref().and_then(|chunk| chunk.get(self.consumed..)).unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.consumed >= self.len()
    }

    #[inline]
    fn len(&self) -> usize {
        self.chunk.as_ref().map_or(0, Vec::len)
    }

    /// Gives out the next `amount` bytes, or all if there are fewer.
    #[inline]
    pub(super) fn consume(&mut self, amount: usize) {
        self.consumed = self.consumed.saturating_add(amount).min(self.len());
    }

    /// Forgets all but the next `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        let kept = self.consumed.saturating_add(len);
        if let Some(chunk) = &mut self.chunk {
            chunk.truncate(kept);
        }
    }

    /// Gives out the chunk, and how many of its first bytes were given out before.
    #[inline]
    pub(super) fn take(&mut self) -> (Option<Vec<u8>>, usize) {
        (self.chunk.take(), self.consumed)
    }

    /// The memory for the next chunk, empty. Bytes that are put there count as not given out.
    #[inline]
    pub(super) fn memory(&mut self) -> &mut Vec<u8> {
        self.consumed = 0;
        let chunk = self.chunk.get_or_insert_with(|| SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default());
        chunk.clear();
        chunk
    }

    /// Frees the memory, with the bytes in it.
    #[cold]
    pub(super) fn discard(&mut self) {
        self.chunk = None;
        self.consumed = 0;
    }
}

/// How many bytes there are, and none of them: payloads may be secret.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes buffered", self.as_slice().len())
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            // A stream may live longer than the spare memory of its thread. Then its chunk is freed.
            let _ = SPARE.try_with(|spare| spare.set(Some(chunk)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_what_there_is_and_no_more() {
        let mut buffer = Buffer::new();
        assert!(buffer.is_empty());
        buffer.consume(1);
        buffer.memory().extend_from_slice(b"seven b");
        buffer.consume(2);
        assert_eq!(buffer.as_slice(), b"ven b");
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
        assert_eq!(buffer.as_slice(), b"");
    }

    #[test]
    fn the_next_buffer_has_the_memory_of_the_last() {
        let mut first = Buffer::new();
        first.memory().extend_from_slice(b"seven b");
        let memory = first.as_slice().as_ptr();
        let mut meanwhile = Buffer::new();
        meanwhile.memory().push(0);
        assert_ne!(meanwhile.as_slice().as_ptr(), memory);
        drop(meanwhile);
        drop(first);
        let mut next = Buffer::new();
        assert_eq!(next.memory().as_ptr(), memory);
        assert!(next.is_empty());
    }

    #[test]
    fn what_is_discarded_is_not_kept() {
        let mut buffer = Buffer::new();
        buffer.memory().extend_from_slice(b"more than was asked for");
        buffer.discard();
        assert_eq!(buffer.as_slice(), b"");
        drop(buffer);
        assert_eq!(Buffer::new().memory().capacity(), 0);
    }
}
