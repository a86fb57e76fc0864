//! Ownership of the draft's bare `u32` handles: each is dropped once, by whoever holds it last.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use crate::sys::{types, wasi_io};

/// A kind of handle, and the draft's function that drops one.
pub(crate) trait Kind {
    const NAME: &'static str;
    fn drop(raw: u32);
}

macro_rules! kinds {
    ($($kind:ident $name:literal => $drop:path),* $(,)?) => {
        $(
            pub(crate) enum $kind {}

            impl Kind for $kind {
                const NAME: &'static str = $name;
                #[inline]
                fn drop(raw: u32) {
                    $drop(raw);
                }
            }
        )*
    };
}

kinds! {
    BucketKind "bucket" => types::drop_bucket,
    ErrorKind "error" => types::drop_error,
    InputStreamKind "input-stream" => wasi_io::drop_input_stream,
    OutputStreamKind "output-stream" => wasi_io::drop_output_stream,
    PayloadKind "payload" => types::drop_payload,
    ValueKind "value" => types::drop_value,
}

/// An owned handle of one kind.
///
/// Any `u32` is a handle, 0 among them, so there is no niche for an invalid one. A handle means something to the instance
/// that was given it only, hence neither `Send` nor `Sync`.
pub(crate) struct Handle<K: Kind> {
    raw: u32,
    kind: PhantomData<*const K>,
}

impl<K: Kind> Handle<K> {
    /// Takes ownership of `raw`, which must be a live handle of this kind that nobody else owns.
    #[inline]
    pub(crate) fn new(raw: u32) -> Self {
        Self { raw, kind: PhantomData }
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> u32 {
        self.raw
    }

    /// Gives ownership up: what becomes of the handle is the caller's business.
    #[inline]
    pub(crate) fn into_raw(self) -> u32 {
        ManuallyDrop::new(self).raw
    }
}

impl<K: Kind> Drop for Handle<K> {
    #[inline]
    fn drop(&mut self) {
        K::drop(self.raw);
    }
}

impl<K: Kind> fmt::Debug for Handle<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", K::NAME, self.raw)
    }
}
