use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

/// The key that was set or deleted: the draft's `key`, a string.
///
/// A `Key` lasts as long as its event and derefs to [`str`], so all that `str` can do, a key can. To keep one in the watcher's
/// state, make a `String` of it: `key.to_string()`. It borrows so that an event costs no copy of it, and so that a failure can
/// still name the key when the handler is done with it. It is `Copy`, and written `Key` in a handler's parameters.
///
/// ```
/// use inbound_keyvalue::Key;
///
/// fn user(key: Key<'_>) -> Option<&str> {
///     key.as_str().strip_prefix("users/")
/// }
///
/// assert_eq!(user(Key::from("users/ada")), Some("ada"));
/// assert_eq!(user(Key::from("orders/7")), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    /// The key's text, for as long as the event lasts.
    ///
    /// ```
    /// use inbound_keyvalue::Key;
    ///
    /// assert_eq!(Key::from("users/ada").as_str(), "users/ada");
    /// ```
    #[must_use]
    #[inline]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl Deref for Key<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.0
    }
}

impl AsRef<str> for Key<'_> {
    #[inline]
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl Borrow<str> for Key<'_> {
    #[inline]
    fn borrow(&self) -> &str {
        self.0
    }
}

impl<'a> From<&'a str> for Key<'a> {
    #[inline]
    fn from(text: &'a str) -> Self {
        Self(text)
    }
}

impl<'a> From<Key<'a>> for &'a str {
    #[inline]
    fn from(key: Key<'a>) -> Self {
        key.0
    }
}

impl From<Key<'_>> for String {
    #[inline]
    fn from(key: Key<'_>) -> Self {
        key.0.into()
    }
}

impl PartialEq<str> for Key<'_> {
    #[inline]
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Key<'_> {
    #[inline]
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<String> for Key<'_> {
    #[inline]
    fn eq(&self, other: &String) -> bool {
        self.0 == other.as_str()
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}
