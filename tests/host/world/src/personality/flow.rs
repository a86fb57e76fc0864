//! How much goes through a stream in one call, and how often nothing does.

use serde::{Deserialize, Serialize};

/// How much of what a guest asks for or gives goes through in one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Size {
    /// All of it.
    #[default]
    Full,
    /// At most so many bytes.
    Fixed(u64),
    /// At random, between one byte and all of it.
    Random,
}

/// How many times in a row something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Repeat {
    /// So many times.
    Times(u32),
    /// For ever.
    Forever,
}

impl Size {
    /// How much of `of` bytes goes through.
    pub(crate) fn part(self, of: u64, random: &mut Random) -> u64 {
        match self {
            _ if of == 0 => 0,
            Self::Full => of,
            Self::Fixed(most) => of.min(most),
            // Small most of the time, and sometimes all.
            Self::Random => {
                let most = if random.up_to(4) == 1 { of } else { of.min(4096) };
                random.up_to(most).min(of)
            }
        }
    }
}

impl Repeat {
    /// Whether something goes through in this call. `done` counts the calls in a row in which nothing went through.
    pub(crate) fn is_over(self, done: &mut u32) -> bool {
        match self {
            Self::Forever => false,
            Self::Times(times) if *done < times => {
                *done += 1;
                false
            }
            Self::Times(_) => {
                *done = 0;
                true
            }
        }
    }
}

/// Random numbers that are the same for the same seed (xorshift).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // The generator returns only 0 after 0.
        Self(seed | 1 << 63)
    }

    /// A number from 1 to `most`.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most.max(1) + 1
    }
}
