//! The work of the guests that read payloads. Both sides use it. Only the way in which the bytes arrive differs.

/// Reads every byte, as a checksum does.
///
/// Not inlined: otherwise, the compiler could optimise this loop differently in each guest.
#[inline(never)]
pub(crate) fn add(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, &byte| sum.rotate_left(5) ^ u32::from(byte))
}
