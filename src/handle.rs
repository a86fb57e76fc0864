//! Ownership of the draft's bare `u32` handles. Each handle is dropped once, by its last owner.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use crate::sys::{Raw, number_of, types, wasi_io};

/// A resource of the draft: its name and the function that drops a handle of it.
pub(crate) trait Resource {
    const NAME: &'static str;
    fn drop(raw: Raw);
}

macro_rules! resources {
    ($($resource:ident $name:literal => $drop:path),* $(,)?) => {
        $(
            pub(crate) enum $resource {}

            impl Resource for $resource {
                const NAME: &'static str = $name;
                #[inline]
                fn drop(raw: Raw) {
                    $drop(raw);
                }
            }
        )*
    };
}

resources! {
    BucketResource "bucket" => types::drop_bucket,
    ErrorResource "error" => types::drop_error,
    InputStreamResource "input-stream" => wasi_io::drop_input_stream,
    OutputStreamResource "output-stream" => wasi_io::drop_output_stream,
    PayloadResource "payload" => types::drop_payload,
    ValueResource "value" => types::drop_value,
}

/// An owned handle of one resource.
///
/// Any `u32` is a handle, 0 too, so no number stands for "no handle". A handle is valid only in the instance that received it,
/// so it is neither `Send` nor `Sync`.
pub(crate) struct Handle<R: Resource> {
    raw: Raw,
    resource: PhantomData<*const R>,
}

impl<R: Resource> Handle<R> {
    /// Takes ownership of `raw`, which must be a live handle of this resource that nothing else owns.
    #[inline]
    pub(crate) fn new(raw: Raw) -> Self {
        Self { raw, resource: PhantomData }
    }

    #[inline]
    pub(crate) fn as_raw(&self) -> Raw {
        self.raw
    }

    /// Gives up ownership: the caller decides what happens to the handle.
    #[inline]
    pub(crate) fn into_raw(self) -> Raw {
        ManuallyDrop::new(self).raw
    }
}

impl<R: Resource> Drop for Handle<R> {
    #[inline]
    fn drop(&mut self) {
        R::drop(self.raw);
    }
}

impl<R: Resource> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", R::NAME, number_of(self.raw))
    }
}

/// Adds `as_raw`, `into_raw` and `from_raw` to a type that always owns a handle. The type needs a function `adopt(raw: Raw)`.
///
/// The parameters are the type, the path to its handle, a value to show it with, the draft's drop function, and what a handle
/// for `from_raw` must be.
macro_rules! raw_handle {
    ($type:ident, $($field:ident).+, $variable:ident, $drop:literal, $live:literal) => {
        /// Conversions from and to the draft's handle, like those of `std` for owned file descriptors.
        impl $type {
            /// The draft's handle. This value still owns it.
            ///
            /// ```
            #[doc = concat!("# use inbound_keyvalue::", stringify!($type), ";")]
            #[doc = concat!("fn log(", stringify!($variable), ": &", stringify!($type), ") {")]
            #[doc = concat!("    println!(\"handle {}\", ", stringify!($variable), ".as_raw());")]
            /// }
            /// ```
            #[must_use]
            #[inline]
            pub fn as_raw(&self) -> u32 {
                $crate::sys::number_of(self.$($field).+.as_raw())
            }

            #[doc = concat!("Gives up the handle without a call. The caller must call `", $drop, "`, or leave the handle to the host.")]
            ///
            /// ```
            #[doc = concat!("# use inbound_keyvalue::", stringify!($type), ";")]
            #[doc = concat!("fn leave_to_the_host(", stringify!($variable), ": ", stringify!($type), ") {")]
            #[doc = concat!("    let _ = ", stringify!($variable), ".into_raw();")]
            /// }
            /// ```
            #[must_use = "a handle that nobody drops stays with the host"]
            #[inline]
            pub fn into_raw(self) -> u32 {
                $crate::sys::number_of(self.$($field).+.into_raw())
            }

            /// Takes ownership of a handle.
            ///
            /// # Safety
            ///
            #[doc = concat!("`raw` must be ", $live, " that nothing else owns. This value drops it. A wrong number does not touch")]
            /// the memory of this instance: the host traps, or drops another handle.
            ///
            /// ```
            #[doc = concat!("# use inbound_keyvalue::", stringify!($type), ";")]
            #[doc = concat!("fn round_trip(", stringify!($variable), ": ", stringify!($type), ") -> ", stringify!($type), " {")]
            #[doc = concat!("    let raw = ", stringify!($variable), ".into_raw();")]
            ///     // SAFETY: `into_raw` has just given up the handle.
            #[doc = concat!("    unsafe { ", stringify!($type), "::from_raw(raw) }")]
            /// }
            /// ```
            #[must_use]
            #[allow(unsafe_code, reason = "the caller asserts the ownership of a handle")]
            pub unsafe fn from_raw(raw: u32) -> Self {
                Self::adopt($crate::sys::raw_of(raw))
            }
        }
    };
}
pub(crate) use raw_handle;
