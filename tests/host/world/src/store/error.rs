//! The errors of a store.

/// The reason why a call on a store failed. A guest gets its `Display` as the trace of the draft's `error`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store has no bucket of this name, or the guest may not use it.
    #[error("there is no bucket {0:?}")]
    NoBucket(String),
    /// The key is not set.
    #[error("the key {0:?} is not set")]
    NoKey(String),
    /// The content of the key is not a number.
    #[error("the content of the key {0:?} is not a number in decimal digits below 2^64")]
    NotANumber(String),
    /// The sum of the number and the increment does not fit into 64 bits.
    #[error("the number under the key {0:?} would exceed 2^64 - 1")]
    Overflow(String),
    /// The content, or all contents together, exceed a limit of the store. The text names the limit.
    #[error("the store has no room: {0}")]
    Full(String),
    /// The store cannot do this. The text says what to do instead.
    #[error("the store cannot do this: {0}")]
    Unsupported(String),
    /// The store refused the call, with its reason.
    #[error("{0}")]
    Refused(String),
    /// The store did not answer. The event may be tried again.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
}
