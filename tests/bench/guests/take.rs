//! The work of the guests that measure how fast bytes come: none. The same on both sides.

/// Lets the compiler think that every byte was read.
#[inline(never)]
pub(crate) fn all(bytes: &[u8]) {
    core::hint::black_box(bytes);
}
