//! The work of the guests that read what they are given: the same on both sides. What differs is how the bytes come.

/// Reads every byte, as a checksum does.
///
/// Not inlined: how well the compiler does this loop in one place or another is not what is measured.
#[inline(never)]
pub(crate) fn add(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte))
}
