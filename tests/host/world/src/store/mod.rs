//! Named buckets of keys, behind one trait.
//!
//! A watcher that acts on its store calls a [`Host`](crate::Host), and the host calls a [`Store`]. A store that answers at once needs
//! no runtime. A store behind a network answers later, so that other sessions run meanwhile.

mod answer;
mod conformance;
mod error;
mod file;
mod half_way;
mod memory;
mod refusing;

use std::fmt;

pub use answer::{Answer, block_on};
pub use conformance::conforms;
pub use error::StoreError;
pub use half_way::HalfWay;
pub use memory::MemoryStore;
pub use refusing::Refusing;

use crate::content::Content;

/// A store: named buckets, each of which maps keys to contents.
///
/// Each method is a function of the draft's interfaces `types`, `readwrite`, `atomic` and `batch`. An implementation states which
/// of them are atomic on its store. If the store cannot do what the draft promises, the method answers
/// [`StoreError::Unsupported`].
///
/// A number under a key is decimal text, as [`number`] reads it.
///
/// A method must not block: a store that has to wait returns [`Answer::Later`].
pub trait Store: fmt::Debug + Send + Sync {
    /// `open-bucket`: fails if there is no such bucket.
    fn open(&self, bucket: &str) -> Answer<()>;

    /// `get`: fails with [`StoreError::NoKey`] if the key is not set.
    fn get(&self, bucket: &str, key: &str) -> Answer<Content>;

    /// `set`
    fn set(&self, bucket: &str, key: &str, content: Content) -> Answer<()>;

    /// `delete`: fails with [`StoreError::NoKey`] if the key is not set.
    fn delete(&self, bucket: &str, key: &str) -> Answer<()>;

    /// `exists`: `false` if the key is not set.
    fn exists(&self, bucket: &str, key: &str) -> Answer<bool>;

    /// `increment`: adds `delta` in one step and answers the new number. A key that is not set counts as 0.
    fn increment(&self, bucket: &str, key: &str, delta: u64) -> Answer<u64>;

    /// `compare-and-swap`: sets the key to `new` in one step if it is `old`, and answers whether it did. Fails with
    /// [`StoreError::NoKey`] if the key is not set.
    fn compare_and_swap(&self, bucket: &str, key: &str, old: u64, new: u64) -> Answer<bool>;

    /// `get-many`: the contents in the order of the keys. Fails if one of the keys is not set.
    fn get_many(&self, bucket: &str, keys: &[&str]) -> Answer<Vec<Content>>;

    /// `get-keys`
    fn keys(&self, bucket: &str) -> Answer<Vec<String>>;

    /// `set-many`: sets all pairs in one step.
    fn set_many(&self, bucket: &str, pairs: Vec<(String, Content)>) -> Answer<()>;

    /// `delete-many`: deletes the keys that are set, and ignores the others.
    fn delete_many(&self, bucket: &str, keys: &[&str]) -> Answer<()>;
}

/// A function of the draft that acts on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the draft's functions by their names")]
#[non_exhaustive]
pub enum StoreCall {
    OpenBucket,
    Get,
    Set,
    Delete,
    Exists,
    Increment,
    CompareAndSwap,
    GetMany,
    GetKeys,
    SetMany,
    DeleteMany,
}

impl StoreCall {
    /// All functions.
    pub const ALL: [Self; 11] = [
        Self::OpenBucket,
        Self::Get,
        Self::Set,
        Self::Delete,
        Self::Exists,
        Self::Increment,
        Self::CompareAndSwap,
        Self::GetMany,
        Self::GetKeys,
        Self::SetMany,
        Self::DeleteMany,
    ];

    /// The functions that read keys.
    pub const READS: [Self; 4] = [Self::Get, Self::Exists, Self::GetMany, Self::GetKeys];

    /// The functions that change keys.
    pub const WRITES: [Self; 6] =
        [Self::Set, Self::Delete, Self::Increment, Self::CompareAndSwap, Self::SetMany, Self::DeleteMany];

    /// The draft's name of the function.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenBucket => "open-bucket",
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

/// Reads the number under a key: decimal ASCII digits, as in Redis. `None` for any other content, and above `u64::MAX`.
///
/// ```
/// use inbound_keyvalue_host::store::number;
///
/// assert_eq!(number(b"42"), Some(42));
/// assert_eq!((number(b"+42"), number(b""), number(b"4 2")), (None, None, None));
/// ```
#[must_use]
pub fn number(bytes: &[u8]) -> Option<u64> {
    // `parse` accepts a plus sign too.
    let digits = bytes.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(bytes).ok().filter(|_| digits)?.parse().ok()
}
