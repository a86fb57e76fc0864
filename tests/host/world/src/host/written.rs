//! The bodies of values: those of live values, and those that are collected for the program that runs the guest.

/// The content that a guest wrote into one `Value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The bytes, up to the limit of [`Host::keep_written`](super::Host::keep_written).
    pub bytes: Vec<u8>,
    /// The number of bytes that were written in all.
    pub len: u64,
}

/// All bodies of an event.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    /// The first `collected` ones are in the order in which their values were made, and stay until the next event. The others are
    /// used again for new values.
    written: Vec<Written>,
    /// The number of live handles that use each body: its value, and the stream that writes it.
    uses: Vec<u8>,
    collected: usize,
    collected_bytes: usize,
    unused: Vec<usize>,
    live_bytes: u64,
    /// The number of the first body. Numbers of earlier events have no body.
    first: u64,
}

/// The most values of an event that are collected, and the most bytes that they may have. The lengths are always correct.
const MOST_COLLECTED: usize = 4096;
const MOST_COLLECTED_BYTES: usize = 64 * 1024 * 1024;

impl Bodies {
    /// Starts an event: forgets all bodies.
    #[inline]
    pub(super) fn begin(&mut self) {
        if !self.written.is_empty() {
            self.forget();
        }
    }

    #[cold]
    fn forget(&mut self) {
        let bodies = self.written.len() as u64;
        *self = Self { first: self.first + bodies, ..Self::default() };
    }

    /// The number of a new value's body. The value uses it.
    pub(super) fn add(&mut self, collect: bool) -> u64 {
        let index = if collect && self.collected < MOST_COLLECTED && self.collected == self.written.len() {
            self.collected += 1;
            self.push()
        } else {
            self.unused.pop().unwrap_or_else(|| self.push())
        };
        self.uses[index] = 1;
        self.first + index as u64
    }

    fn push(&mut self) -> usize {
        self.written.push(Written::default());
        self.uses.push(0);
        self.written.len() - 1
    }

    fn index(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.written.len()).then_some(index)
    }

    /// The stream of a value uses its body too.
    pub(super) fn share(&mut self, number: u64) {
        if let Some(index) = self.index(number) {
            self.uses[index] += 1;
        }
    }

    /// A handle that used a body is gone. `limit` is the most bytes that are collected.
    pub(super) fn release(&mut self, number: u64, limit: u64) {
        let Some(index) = self.index(number) else { return };
        let handles = &mut self.uses[index];
        *handles = handles.saturating_sub(1);
        if *handles > 0 {
            return;
        }
        let body = &mut self.written[index];
        self.live_bytes -= body.bytes.capacity() as u64;
        if index >= self.collected {
            *body = Written::default();
            self.unused.push(index);
            return;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MOST_COLLECTED_BYTES);
        body.bytes.truncate(limit - self.collected_bytes.min(limit));
        body.bytes.shrink_to_fit();
        self.collected_bytes += body.bytes.len();
    }

    /// Ends an event: no handle uses a body any more.
    pub(super) fn end(&mut self, limit: u64) {
        for index in 0..self.written.len() {
            if self.uses[index] > 0 {
                self.uses[index] = 1;
                self.release(self.first + index as u64, limit);
            }
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// The number of bytes that were written to a body.
    pub(super) fn len(&self, number: u64) -> u64 {
        self.index(number).map_or(0, |index| self.written[index].len)
    }

    /// The bytes of a body that are kept.
    pub(super) fn bytes(&self, number: u64) -> &[u8] {
        self.index(number).map_or(&[], |index| &self.written[index].bytes)
    }

    /// The memory of the bodies that a live handle uses.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The additional memory that a body needs for `len` more bytes, if `keep` bytes are kept in all.
    pub(super) fn growth(&self, number: u64, len: usize, keep: usize) -> usize {
        let Some(index) = self.index(number) else { return 0 };
        let bytes = &self.written[index].bytes;
        let needed = bytes.len().saturating_add(len).min(keep.max(bytes.len()));
        if needed <= bytes.capacity() {
            return 0;
        }
        let doubled = bytes.capacity().saturating_mul(2).min(keep);
        needed.max(doubled) - bytes.capacity()
    }

    /// Writes `len` bytes to a body, of which `append` adds as many as are kept. `growth` is the result of [`growth`](Self::growth).
    pub(super) fn write(
        &mut self,
        number: u64,
        len: usize,
        growth: usize,
        keep: usize,
        append: impl FnOnce(&mut Vec<u8>, usize),
    ) {
        let Some(index) = self.index(number) else { return };
        let body = &mut self.written[index];
        body.len += len as u64;
        let before = body.bytes.capacity();
        if growth > 0 {
            body.bytes.reserve_exact(before + growth - body.bytes.len());
        }
        let kept = len.min(keep.saturating_sub(body.bytes.len()));
        append(&mut body.bytes, kept);
        self.live_bytes += (body.bytes.capacity() - before) as u64;
    }

    /// The bodies that are collected.
    #[inline]
    pub(super) fn collected(&self) -> &[Written] {
        &self.written[..self.collected]
    }

    /// The collected bodies. They are not collected any more.
    pub(super) fn take(&mut self) -> Vec<Written> {
        let mut bodies = std::mem::take(&mut self.written);
        let first = self.first + bodies.len() as u64;
        bodies.truncate(self.collected);
        *self = Self { first, ..Self::default() };
        bodies
    }
}
