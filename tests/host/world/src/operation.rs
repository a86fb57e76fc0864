use std::fmt;

/// One of the two functions that a watcher exports. Its `Display` is the draft's name.
///
/// ```
/// use inbound_keyvalue_host::Operation;
///
/// assert_eq!(Operation::Set.to_string(), "on-set");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `on-set`
    Set,
    /// `on-delete`
    Delete,
}

impl Operation {
    /// The draft's name of the function.
    ///
    /// ```
    /// assert_eq!(inbound_keyvalue_host::Operation::Delete.as_str(), "on-delete");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "on-set",
            Self::Delete => "on-delete",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
