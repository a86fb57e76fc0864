use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// The value of a key: the bytes of a payload. They are in memory, in a file, or generated when they are read.
///
/// A clone is cheap. Bytes and text convert into a `Content`. The conversion copies them.
///
/// ```
/// use inbound_keyvalue_host::Content;
///
/// let text = Content::from("hello");
/// let bytes = Content::from(vec![0, 159, 146, 150]);
/// let a_gigabyte = Content::repeat("all work and no play\n", 1 << 30);
/// assert_eq!((text.len(), bytes.len(), a_gigabyte.len()), (5, 4, 1 << 30));
/// ```
#[derive(Clone)]
pub struct Content {
    source: Source,
    len: u64,
}

type Generator = dyn Fn(u64, &mut [u8]) + Send + Sync;

#[derive(Clone)]
enum Source {
    Bytes(Arc<[u8]>),
    Repeat(Arc<[u8]>),
    Generated(Arc<Generator>),
    File(Arc<Mutex<File>>),
}

impl Content {
    /// `len` bytes that repeat `pattern`. An empty pattern stands for zeroes.
    #[must_use]
    pub fn repeat(pattern: impl Into<Bytes>, len: u64) -> Self {
        let pattern = pattern.into();
        let pattern = if pattern.is_empty() { &[0] } else { &pattern[..] };
        Self { source: Source::Repeat(pattern.into()), len }
    }

    /// `len` bytes that `fill` makes when they are read. `fill` gets an offset, and the buffer for the bytes from that offset on.
    #[must_use]
    pub fn generate(len: u64, fill: impl Fn(u64, &mut [u8]) + Send + Sync + 'static) -> Self {
        Self { source: Source::Generated(Arc::new(fill)), len }
    }

    /// The bytes of a file. The host reads them when the guest does.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { source: Source::File(Arc::new(Mutex::new(file))), len })
    }

    /// A value as JSON.
    ///
    /// # Errors
    ///
    /// When the value cannot be written as JSON, as a map whose keys are not strings.
    pub fn json<T: serde::Serialize>(value: &T) -> serde_json::Result<Self> {
        serde_json::to_vec(value).map(Self::from)
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `len` bytes from `offset` on, or fewer at the end of the content.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn read(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let left = self.len.saturating_sub(offset);
        let len = usize::try_from(len.min(left)).unwrap_or(usize::MAX);
        if let Source::Bytes(bytes) = &self.source {
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            return Ok(bytes[start..start + len].to_vec());
        }
        let mut buf = vec![0; len];
        match &self.source {
            Source::Bytes(_) => {}
            Source::Repeat(pattern) => repeat(pattern, offset, &mut buf),
            Source::Generated(fill) => fill(offset, &mut buf),
            Source::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(&mut buf)?;
            }
        }
        Ok(buf)
    }

    /// All bytes. Those in memory are shared, and not copied.
    #[inline]
    pub(crate) fn into_whole(self) -> io::Result<Arc<[u8]>> {
        match self.source {
            Source::Bytes(bytes) => Ok(bytes),
            _ => self.read(0, self.len).map(Arc::from),
        }
    }
}

fn repeat(pattern: &[u8], offset: u64, mut buf: &mut [u8]) {
    let mut start = usize::try_from(offset % pattern.len() as u64).unwrap_or(0);
    while !buf.is_empty() {
        let len = buf.len().min(pattern.len() - start);
        let (now, later) = buf.split_at_mut(len);
        now.copy_from_slice(&pattern[start..start + len]);
        buf = later;
        start = 0;
    }
}

impl<T: Into<Bytes>> From<T> for Content {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Self { len: bytes.len() as u64, source: Source::Bytes(bytes.as_ref().into()) }
    }
}

/// Everything that a key can be set to: all that is `AsRef<[u8]>` and `Cow<str>`, which are copied, and [`Content`], which is not.
///
/// `Form` only tells the implementations apart, and the compiler finds it. A function of your own that takes every form is
/// `fn take<F>(content: impl IntoContent<F>)`.
///
/// ```
/// use std::borrow::Cow;
/// use inbound_keyvalue_host::{Content, IntoContent};
///
/// fn len<F>(content: impl IntoContent<F>) -> u64 {
///     content.into_content().len()
/// }
///
/// let text = String::from("text");
/// assert_eq!(len(&text) + len(text.as_str()) + len(b"text") + len(text.as_bytes()) + len([1, 2, 3]), 19);
/// assert_eq!(len(Cow::from(&text)), 4);
/// assert_eq!(len(Content::repeat("x", 1 << 40)), 1 << 40);
/// ```
pub trait IntoContent<Form = AnyBytes> {
    /// The content.
    fn into_content(self) -> Content;
}

/// The form of all that is `AsRef<[u8]>`.
#[doc(hidden)]
#[derive(Debug)]
pub enum AnyBytes {}

/// The form of `Cow<str>`. The standard library may make it an `AsRef<[u8]>` one day, so it cannot have the other form too.
#[doc(hidden)]
#[derive(Debug)]
pub enum CowText {}

impl<T: AsRef<[u8]>> IntoContent for T {
    fn into_content(self) -> Content {
        let bytes = self.as_ref();
        Content { len: bytes.len() as u64, source: Source::Bytes(bytes.into()) }
    }
}

impl IntoContent<CowText> for Cow<'_, str> {
    fn into_content(self) -> Content {
        self.as_bytes().into_content()
    }
}

impl IntoContent<CowText> for &Cow<'_, str> {
    fn into_content(self) -> Content {
        self.as_bytes().into_content()
    }
}

impl IntoContent for Content {
    fn into_content(self) -> Content {
        self
    }
}

impl IntoContent for &Content {
    fn into_content(self) -> Content {
        self.clone()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Bytes(bytes) => return write!(f, "Content(b\"{}\")", bytes.escape_ascii()),
            Source::Repeat(_) => "repeated",
            Source::Generated(_) => "generated",
            Source::File(_) => "from a file",
        };
        write!(f, "Content({} bytes, {source})", self.len)
    }
}
