//! What a stream has taken from the host and not given out yet.

use std::cell::Cell;

thread_local! {
    /// The memory of the last buffer, for the next one: most streams of a watcher are read one after the other, and then only
    /// the first allocates. wasm has one thread, and this is a plain static there.
    static SPARE: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// One chunk, of which the first bytes may be given out.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// `None` until it is needed. An empty `Vec` in its place would cost a call to be dropped.
    chunk: Option<Vec<u8>>,
    /// No more than the chunk has.
    consumed: usize,
}

impl Buffer {
    #[inline]
    pub(crate) fn new() -> Self {
        Self { chunk: None, consumed: 0 }
    }

    /// What was not given out yet.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.chunk.as_deref().and_then(|chunk| chunk.get(self.consumed..)).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.consumed >= self.len()
    }

    #[inline]
    fn len(&self) -> usize {
        self.chunk.as_ref().map_or(0, Vec::len)
    }

    /// Gives the next `amount` bytes out, or what there is.
    #[inline]
    pub(crate) fn consume(&mut self, amount: usize) {
        self.consumed = self.consumed.saturating_add(amount).min(self.len());
    }

    /// Gives all out, with how much of it was given out before.
    #[inline]
    pub(crate) fn take(&mut self) -> (Option<Vec<u8>>, usize) {
        (self.chunk.take(), self.consumed)
    }

    /// The memory for the next chunk, empty. What is put there is not given out yet.
    #[inline]
    pub(crate) fn memory(&mut self) -> &mut Vec<u8> {
        self.consumed = 0;
        let chunk = self.chunk.get_or_insert_with(|| SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default());
        chunk.clear();
        chunk
    }

    /// Lets go of all, the memory included.
    #[cold]
    pub(crate) fn discard(&mut self) {
        self.chunk = None;
        self.consumed = 0;
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            // A stream may outlive its thread's spare memory; then its own is freed.
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
