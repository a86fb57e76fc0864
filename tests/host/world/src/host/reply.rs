//! Turns the answers of a store into the results of a guest's calls.

use std::sync::Arc;

use super::object::{Object, Payload};
use super::{CallResult, Host};
use crate::accounts::HandleKind;
use crate::content::Content;
use crate::store::StoreCall;

/// An answer of a store, which becomes the result of a guest's call.
pub trait Reply: Sized {
    /// The result of the guest's call: a handle for each content and for each opened bucket. All other answers stay unchanged.
    type Returned;

    /// Makes the handles.
    ///
    /// # Errors
    ///
    /// The host traps when the guest exceeds a limit.
    fn make_handles(self, host: &mut Host, call: StoreCall, bucket: &Arc<str>) -> CallResult<Self::Returned>;

    /// The number that the store answered, with 1 for `true`.
    fn number(&self) -> u64 {
        0
    }
}

/// The answer to `open-bucket`.
#[derive(Debug)]
pub struct Opened(pub(super) ());

impl Reply for Opened {
    type Returned = u32;

    fn make_handles(self, host: &mut Host, call: StoreCall, bucket: &Arc<str>) -> CallResult<u32> {
        host.make(HandleKind::Bucket, call.as_str(), Object::Bucket(Some(Arc::clone(bucket))))
    }
}

impl Reply for Content {
    type Returned = u32;

    fn make_handles(self, host: &mut Host, call: StoreCall, _bucket: &Arc<str>) -> CallResult<u32> {
        let kept = self.len_in_memory();
        host.make(HandleKind::Payload, call.as_str(), Object::Payload(Payload { content: self, kept }))
    }
}

impl Reply for Vec<Content> {
    type Returned = Vec<u32>;

    fn make_handles(self, host: &mut Host, call: StoreCall, bucket: &Arc<str>) -> CallResult<Vec<u32>> {
        self.into_iter().map(|content| content.make_handles(host, call, bucket)).collect()
    }
}

impl Reply for Vec<String> {
    type Returned = Self;

    fn make_handles(self, host: &mut Host, call: StoreCall, _bucket: &Arc<str>) -> CallResult<Self> {
        host.admit_bytes(call.as_str(), self.iter().map(|key| key.len() as u64).sum())?;
        Ok(self)
    }
}

impl Reply for () {
    type Returned = ();

    fn make_handles(self, _host: &mut Host, _call: StoreCall, _bucket: &Arc<str>) -> CallResult<()> {
        Ok(())
    }
}

impl Reply for bool {
    type Returned = Self;

    fn make_handles(self, _host: &mut Host, _call: StoreCall, _bucket: &Arc<str>) -> CallResult<Self> {
        Ok(self)
    }

    fn number(&self) -> u64 {
        u64::from(*self)
    }
}

impl Reply for u64 {
    type Returned = Self;

    fn make_handles(self, _host: &mut Host, _call: StoreCall, _bucket: &Arc<str>) -> CallResult<Self> {
        Ok(self)
    }

    fn number(&self) -> u64 {
        *self
    }
}
