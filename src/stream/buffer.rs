//! The bytes that a stream has read from the host, and that the author has not taken yet.

use std::cell::Cell;
use std::fmt;
use std::mem;

thread_local! {
    /// The memory of the last buffer, for the next one. Most watchers read one stream after the other, and then only the first
    /// stream allocates. wasm has one thread, and this is a plain static there.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// One chunk. The author may have taken its first bytes already.
pub(super) struct Buffer {
    /// It is empty until it is needed, and may be longer than the chunk. Dropping an empty box makes no call.
    memory: Box<[u8]>,
    /// The position of the first byte that was not taken. If it is not less than `end`, there is none.
    start: usize,
    /// The end of the chunk. At most the length of the memory.
    end: usize,
}

impl Buffer {
    #[inline]
    pub(super) fn new() -> Self {
        Self { memory: Box::default(), start: 0, end: 0 }
    }

    /// The bytes that were not taken yet.
    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Marks the next `amount` bytes as taken, or all if there are fewer.
    #[inline]
    pub(super) fn consume(&mut self, amount: usize) {
        self.start = self.start.saturating_add(amount).min(self.end);
    }

    /// Forgets all but the next `len` bytes.
    pub(super) fn truncate(&mut self, len: usize) {
        self.end = self.start.saturating_add(len).min(self.end);
    }

    /// Removes the chunk. Returns it, and the number of its first bytes that were taken before.
    #[inline]
    pub(super) fn take(&mut self) -> (Vec<u8>, usize) {
        let mut chunk = mem::take(&mut self.memory).into_vec();
        // With the end at 0 the buffer is empty, wherever the start is.
        chunk.truncate(mem::take(&mut self.end));
        (chunk, self.start)
    }

    /// The memory for the next chunk. The bytes in it mean nothing. [`filled`](Self::filled) says how long the new chunk is.
    #[inline]
    pub(super) fn memory(&mut self) -> &mut Box<[u8]> {
        (self.start, self.end) = (0, 0);
        if self.memory.is_empty() {
            self.memory = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        }
        &mut self.memory
    }

    /// Makes the first `len` bytes of the memory a chunk, of which nothing is taken.
    #[inline]
    pub(super) fn filled(&mut self, len: usize) {
        (self.start, self.end) = (0, len);
    }

    /// Frees the memory, with the bytes in it.
    ///
    /// Inlined, although it is never hot: if the buffer's address reached a function, the compiler would keep the buffer in memory.
    #[inline]
    pub(super) fn discard(&mut self) {
        self.memory = Box::default();
        (self.start, self.end) = (0, 0);
    }
}

/// Keeps memory for the next buffer.
#[inline]
fn keep(memory: Box<[u8]>) {
    if !memory.is_empty() {
        // A stream may live longer than the spare memory of its thread. Then the memory is freed.
        let _ = SPARE.try_with(|spare| spare.set(Some(memory)));
    }
}

/// Shows the number of bytes and not the bytes, because payloads may be secret.
impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes buffered", self.as_slice().len())
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        keep(mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut Buffer, bytes: &[u8]) {
        *buffer.memory() = bytes.into();
        buffer.filled(bytes.len());
    }

    #[test]
    fn gives_out_what_there_is_and_no_more() {
        let mut buffer = Buffer::new();
        assert!(buffer.is_empty());
        buffer.consume(1);
        fill(&mut buffer, b"seven b");
        buffer.consume(2);
        assert_eq!(buffer.as_slice(), b"ven b");
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
        assert_eq!(buffer.as_slice(), b"");
    }

    #[test]
    fn the_next_buffer_has_the_memory_of_the_last() {
        let mut first = Buffer::new();
        fill(&mut first, b"seven b");
        let memory = first.as_slice().as_ptr();
        let mut meanwhile = Buffer::new();
        fill(&mut meanwhile, b"0");
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
        fill(&mut buffer, b"more than was asked for");
        buffer.discard();
        assert_eq!(buffer.as_slice(), b"");
        drop(buffer);
        assert_eq!(Buffer::new().memory().len(), 0);
    }
}
