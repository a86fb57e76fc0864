//! The objects behind the handles of a guest.

use std::sync::Arc;

use crate::content::Content;

/// The object behind a handle.
#[derive(Debug)]
pub(super) enum Object {
    /// A bucket that the guest opened by this name. `None` stands for the bucket of the event.
    Bucket(Option<Arc<str>>),
    Error(String),
    Input(Input),
    Output(Output),
    Payload(Payload),
    /// A payload that the guest has consumed, and whose handle stays until the guest drops it or the event ends.
    Spent,
    Value {
        /// The number of its body in [`Bodies`](super::written::Bodies).
        number: u64,
        body: Body,
    },
}

impl Object {
    /// The bytes that the host keeps for this handle besides those of values.
    #[inline]
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Bucket(name) => name.as_ref().map_or(0, |name| name.len() as u64),
            Self::Error(trace) => trace.len() as u64,
            Self::Input(Input { kept, .. }) | Self::Payload(Payload { kept, .. }) => *kept,
            Self::Output(_) | Self::Spent | Self::Value { .. } => 0,
        }
    }
}

/// Whether `value-write-body` was called for a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    Unopened,
    Refused,
    /// The stream of this handle writes the value, until the guest drops it.
    Stream(u32),
}

#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) content: Content,
    /// The memory of the content, if the host keeps it for this guest.
    pub(super) kept: u64,
}

#[derive(Debug)]
pub(crate) struct Input {
    pub(super) content: Content,
    pub(super) kept: u64,
    /// The number of bytes that were taken from the content.
    pub(crate) offset: u64,
    /// Whether the host has reported the end of the stream to the guest.
    pub(crate) ended: bool,
    pub(super) failed: bool,
}

#[derive(Debug)]
pub(super) struct Output {
    /// The number of the body that it writes, in [`Bodies`](super::written::Bodies).
    pub(super) number: u64,
    pub(super) failed: bool,
}
