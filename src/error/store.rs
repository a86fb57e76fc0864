//! Why a call on the keys of a bucket failed.
//!
//! [`Error`](crate::Error) has a variant for it in every build, so that the feature `outbound` changes no code of a watcher that makes no
//! such call. The content of the variant is behind a pointer, so that only a watcher that makes a call contains the texts.

use std::fmt;

/// Why a call on the keys of a bucket failed: the call, the keys, and the reason.
///
/// Only the calls of the feature `outbound` fail with it.
///
/// ```
/// use inbound_keyvalue::Error;
///
/// fn keys(error: &Error) -> &[String] {
///     match error {
///         Error::Store(error) => error.keys(),
///         _ => &[],
///     }
/// }
/// ```
pub struct StoreError(Box<dyn Cause>);

/// The content of a [`StoreError`].
pub(crate) trait Cause: fmt::Display + Send + Sync {
    fn call(&self) -> StoreCall;
    fn keys(&self) -> &[String];
    /// The host's reason. `None` if the host did not refuse the call.
    fn trace(&self) -> Option<&str>;
    /// The reason why the payload from the host could not be read.
    fn payload_error(&self) -> Option<&crate::error::Error>;
}

impl StoreError {
    #[cfg(feature = "outbound")]
    pub(crate) fn new(cause: impl Cause + 'static) -> Self {
        Self(Box::new(cause))
    }

    /// The call that failed.
    #[must_use]
    pub fn call(&self) -> StoreCall {
        self.0.call()
    }

    /// The keys that the call was about.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        self.0.keys()
    }

    /// The host's reason, in its own words, if the host refused the call. It may be empty.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.0.trace()
    }

    /// The reason why the value could not be read, if the host returned it. For example [`Error::Utf8`](crate::Error::Utf8), which
    /// has the bytes.
    #[must_use]
    pub fn payload_error(&self) -> Option<&crate::error::Error> {
        self.0.payload_error()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The message, as `unwrap` shows it.
impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for StoreError {}

/// A function of the draft that acts on the keys of a bucket. Its `Display` is the draft's own name.
///
/// ```
/// assert_eq!(inbound_keyvalue::StoreCall::CompareAndSwap.to_string(), "compare-and-swap");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreCall {
    /// `get`
    Get,
    /// `set`
    Set,
    /// `delete`
    Delete,
    /// `exists`
    Exists,
    /// `increment`
    Increment,
    /// `compare-and-swap`
    CompareAndSwap,
    /// `get-many`
    GetMany,
    /// `get-keys`. In the draft it has no error.
    GetKeys,
    /// `set-many`
    SetMany,
    /// `delete-many`
    DeleteMany,
}

impl StoreCall {
    /// The draft's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Exists => "exists",
            Self::Increment => "increment",
            Self::CompareAndSwap => "compare-and-swap",
            Self::GetMany => "get-many",
            Self::GetKeys => "get-keys",
            Self::SetMany => "set-many",
            Self::DeleteMany => "delete-many",
        }
    }
}

impl fmt::Display for StoreCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(all(feature = "outbound", feature = "json"))]
pub(crate) use causes::unwritable;
#[cfg(feature = "outbound")]
pub(crate) use causes::{refused, unreadable};

#[cfg(feature = "outbound")]
mod causes {
    use std::fmt::{self, Write as _};

    use super::{Cause, StoreCall, StoreError};
    use crate::error::{Error, take_trace};
    use crate::sys::Raw;

    /// The host refused a call.
    struct Refused {
        call: StoreCall,
        keys: Vec<String>,
        trace: String,
    }

    /// The host returned a value that could not be read.
    struct Unreadable {
        keys: [String; 1],
        error: Error,
    }

    /// The error for a refused `call`. `raw` is the host's error handle.
    #[cold]
    pub(crate) fn refused<K: AsRef<str>>(call: StoreCall, keys: &[K], raw: Raw) -> Error {
        let trace = take_trace(raw);
        let keys = keys.iter().map(|key| key.as_ref().to_owned()).collect();
        Error::Store(StoreError::new(Refused { call, keys, trace }))
    }

    /// The error for a value that could not be read after `get` of `key`.
    #[cold]
    pub(crate) fn unreadable(key: &str, error: Error) -> Error {
        Error::Store(StoreError::new(Unreadable { keys: [key.to_owned()], error }))
    }

    impl Cause for Refused {
        fn call(&self) -> StoreCall {
            self.call
        }

        fn keys(&self) -> &[String] {
            &self.keys
        }

        fn trace(&self) -> Option<&str> {
            Some(&self.trace)
        }

        fn payload_error(&self) -> Option<&Error> {
            None
        }
    }

    impl fmt::Display for Refused {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            /// The most keys of a batch that the message names.
            const NAMED: usize = 3;
            // The formatting macros are not used here: they would be a third of a small watcher.
            f.write_str("the host refused `")?;
            f.write_str(self.call.as_str())?;
            f.write_str("`")?;
            for (at, key) in self.keys.iter().take(NAMED).enumerate() {
                f.write_str(if at == 0 { " of " } else { ", " })?;
                quote(key, f)?;
            }
            if self.keys.len() > NAMED {
                f.write_str(" and more keys")?;
            }
            f.write_str(": ")?;
            f.write_str(crate::error::reason(&self.trace))
        }
    }

    /// Writes a key in quotation marks. Everything but visible ASCII is escaped, so that a key cannot control what shows the message.
    /// This is smaller than the escapes of the standard library.
    fn quote(key: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for character in key.chars() {
            if (' '..='~').contains(&character) && !matches!(character, '"' | '\\') {
                f.write_char(character)?;
                continue;
            }
            f.write_str("\\u{")?;
            let code = u32::from(character);
            let digits = (32 - code.leading_zeros()).div_ceil(4).max(1);
            for digit in (0..digits).rev() {
                f.write_char(char::from(b"0123456789abcdef"[(code >> (digit * 4)) as usize % 16]))?;
            }
            f.write_str("}")?;
        }
        f.write_str("\"")
    }

    impl Cause for Unreadable {
        fn call(&self) -> StoreCall {
            StoreCall::Get
        }

        fn keys(&self) -> &[String] {
            &self.keys
        }

        fn trace(&self) -> Option<&str> {
            match &self.error {
                Error::Host { trace, .. } => Some(trace),
                _ => None,
            }
        }

        fn payload_error(&self) -> Option<&Error> {
            Some(&self.error)
        }
    }

    impl fmt::Display for Unreadable {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`get` of ")?;
            quote(&self.keys[0], f)?;
            f.write_str(": ")?;
            self.error.fmt(f)
        }
    }

    /// A Rust value that is not JSON.
    #[cfg(feature = "json")]
    struct Unwritable {
        keys: [String; 1],
        error: serde_json::Error,
    }

    /// The error for a Rust value that cannot be written as JSON, before `set` of `key`.
    #[cfg(feature = "json")]
    #[cold]
    pub(crate) fn unwritable(key: &str, error: serde_json::Error) -> Error {
        Error::Store(StoreError::new(Unwritable { keys: [key.to_owned()], error }))
    }

    #[cfg(feature = "json")]
    impl Cause for Unwritable {
        fn call(&self) -> StoreCall {
            StoreCall::Set
        }

        fn keys(&self) -> &[String] {
            &self.keys
        }

        fn trace(&self) -> Option<&str> {
            None
        }

        fn payload_error(&self) -> Option<&Error> {
            None
        }
    }

    #[cfg(feature = "json")]
    impl fmt::Display for Unwritable {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`set` of ")?;
            quote(&self.keys[0], f)?;
            f.write_str(": the value cannot be written as JSON: ")?;
            self.error.fmt(f)
        }
    }
}
