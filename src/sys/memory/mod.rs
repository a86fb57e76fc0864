//! The memory for the lists and strings that the host passes to the guest.
//!
//! Before a host copies a list or a string into the guest, it asks the guest for memory. It calls `cabi_import_realloc` for the
//! results of imports, and `cabi_export_realloc` for the parameters of exports. The SDK defines both functions, because it can
//! often answer without an allocation:
//! - [`landing`]: the list that a read returns goes into the buffer of the caller.
//! - [`event_key`]: a key goes into the memory of an earlier key of the same length.
//!
//! In all other cases [`allocator`] allocates. No function here calls `cabi_realloc`: each release of wit-bindgen's runtime
//! brings an object file that defines this symbol, and the linker takes the first one. On wasip2 that one can call a function
//! that its own crate did not compile.
//!
//! # Proofs
//!
//! The unsafe code in this folder and in [`wasm`](super::wasm) relies on these facts, and names them by their letters.
//!
//! - **A, arguments.** The host calls the two functions as the canonical ABI says. `align` is a power of two and at most 8.
//!   `new_len`, rounded up to `align`, is less than the size of a 32-bit memory. Either `old_len` is 0 and `old` means nothing,
//!   or `old` is what the same function returned before, during the same call of an import or export, for `old_len` and `align`.
//! - **L, lists.** The host passes a `list<u8>` or a `string` as the address that the last such call returned, and as the
//!   length that it asked for. If the length is 0, the address means nothing.
//! - **O, ownership.** Bytes of a list that did not land are an allocation of Rust's global allocator. Its size is the length of
//!   the list and its alignment is 1. The guest owns it. So `Vec::from_raw_parts(start, len, len)` may take it.
//! - **T, threads.** The SDK supports one thread only, so statics are never accessed at the same time.

#![allow(unsafe_code, reason = "an allocator's interface is raw")]

pub(super) mod allocator;
pub(super) mod event_key;
pub(super) mod landing;
