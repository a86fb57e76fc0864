//! A host whose streams take or return only a part of the bytes that the guest writes or asks for.

use serde::{Deserialize, Serialize};

use crate::host::decorator::{Decorator, Inner, Step};
use crate::host::{StreamError, StreamResult};

/// The number of bytes that one call passes on, of the bytes that a guest asks for or writes. Every guest must work with every size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Size {
    /// All bytes.
    #[default]
    Full,
    /// At most this many bytes.
    Fixed(u64),
    /// A random number of bytes, between one and all of them.
    Random,
}

pub(super) fn decorator(read: Size, write: Size, seed: u64) -> Option<Box<dyn Decorator>> {
    if (read, write) == (Size::Full, Size::Full) {
        return None;
    }
    Some(Box::new(PassesParts { read, write, random: Random::new(seed) }))
}

#[derive(Debug)]
struct PassesParts {
    read: Size,
    write: Size,
    random: Random,
}

impl Decorator for PassesParts {
    fn read(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(Vec<u8>, bool), StreamError> {
        inner.read(src, self.read.part(len, &mut self.random))
    }

    fn skip(&mut self, inner: &mut Inner<'_>, src: u32, len: u64) -> Result<(u64, bool), StreamError> {
        inner.skip(src, self.read.part(len, &mut self.random))
    }

    fn write(&mut self, inner: &mut Inner<'_>, dst: u32, buf: &[u8]) -> StreamResult<u64> {
        let part = self.write.part(buf.len() as u64, &mut self.random);
        inner.write(dst, &buf[..usize::try_from(part).unwrap_or(0)])
    }

    fn write_repeated(&mut self, inner: &mut Inner<'_>, dst: u32, byte: u8, len: u64) -> StreamResult<u64> {
        inner.write_repeated(dst, byte, self.write.part(len, &mut self.random))
    }

    fn transfer(&mut self, inner: &mut Inner<'_>, step: Step) -> StreamResult<(u64, bool)> {
        let read = self.read.part(step.len, &mut self.random);
        inner.transfer(Step { len: self.write.part(read, &mut self.random), ..step })
    }
}

impl Size {
    /// The number of bytes that pass, of `of` bytes.
    fn part(self, of: u64, random: &mut Random) -> u64 {
        match self {
            _ if of == 0 => 0,
            Self::Full => of,
            Self::Fixed(most) => of.min(most),
            // Most parts are small, and some parts are all of the bytes.
            Self::Random => {
                let most = if random.up_to(4) == 1 { of } else { of.min(4096) };
                random.up_to(most)
            }
        }
    }
}

/// Random numbers that are the same for the same seed (xorshift).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // The generator returns only 0 after 0.
        Self(seed | 1 << 63)
    }

    /// A number from 1 to `most`, which is not 0.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most + 1
    }
}
