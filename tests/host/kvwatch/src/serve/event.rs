use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A change of one key, as a store reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its position in the store.
    pub position: Position,
    /// The key. It may contain any character, so logs print it through [`Escaped`].
    pub key: Arc<str>,
    /// The change of the key.
    pub change: Change,
    /// The number of writes of watchers that led to it, each in the event of the write before. It is 0 for a change of another
    /// client, and if the store has no place for this number in a write.
    pub depth: u32,
}

/// A change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key was set to this value.
    Set(Bytes),
    /// The key was deleted, or it expired.
    Delete,
}

/// The identity of an event, and its place in the store's order.
///
/// A store that is removed and created again, or restored from a backup, starts its sequence anew. The incarnation distinguishes
/// between the two: every event of an older incarnation comes before every event of a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of times that the source has seen its store created again, or back in an older state.
    pub incarnation: u32,
    /// The store's sequence number. A store without one uses a counter of the source.
    pub sequence: u64,
}

impl Position {
    /// A position in the first incarnation.
    #[must_use]
    pub fn first(sequence: u64) -> Self {
        Self { incarnation: 0, sequence }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sequence.fmt(f)
    }
}

/// Text from a store, made safe for a terminal and a log: control characters are escaped, and long text is cut.
///
/// `{:#}` does not escape the text. A log in JSON uses it, because JSON escapes text itself.
///
/// ```
/// # use kvwatch::serve::Escaped;
/// assert_eq!(Escaped("a\u{1b}[31m\n").to_string(), r"a\u{1b}[31m\n");
/// assert_eq!(format!("{:#}", Escaped("a\n")), "a\n");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl<'a> Escaped<'a> {
    /// The whole text, for text whose length is bounded elsewhere.
    ///
    /// ```
    /// # use kvwatch::serve::Escaped;
    /// assert_eq!(Escaped::whole(&"\n".repeat(1000)).to_string().len(), 2000);
    /// ```
    #[must_use]
    pub fn whole(text: &'a str) -> EscapedWhole<'a> {
        EscapedWhole(text)
    }
}

/// Text that is escaped as by [`Escaped`] and not cut: see [`Escaped::whole`].
#[derive(Clone, Copy, Debug)]
pub struct EscapedWhole<'a>(&'a str);

/// The most characters that [`Escaped`] prints.
const SHOWN: usize = 256;

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(SHOWN).map_or(self.0.len(), |(index, _)| index);
        let (shown, more) = self.0.split_at(end);
        EscapedWhole(shown).fmt(f)?;
        match more.chars().count() {
            0 => Ok(()),
            more => write!(f, "… ({more} more characters)"),
        }
    }
}

impl fmt::Display for EscapedWhole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return f.write_str(self.0);
        }
        for character in self.0.chars() {
            // Quotes are printable. With escapes they would only be harder to read.
            if matches!(character, '"' | '\'') {
                fmt::Write::write_char(f, character)?;
            } else {
                fmt::Display::fmt(&character.escape_debug(), f)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_has_no_control_characters() {
        let hostile: String = (0..0x3000).filter_map(char::from_u32).filter(|c| c.is_control()).collect();
        for chunk in hostile.chars().collect::<Vec<_>>().chunks(50) {
            let shown = Escaped(&chunk.iter().collect::<String>()).to_string();
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
        assert_eq!(Escaped("\u{202e}x").to_string(), r"\u{202e}x");
    }

    #[test]
    fn escaped_text_is_cut() {
        assert_eq!(Escaped(&"x".repeat(1000)).to_string(), format!("{}… (744 more characters)", "x".repeat(256)));
    }

    #[test]
    fn a_new_incarnation_comes_after_the_old_one() {
        assert!(Position { incarnation: 0, sequence: 900 } < Position { incarnation: 1, sequence: 1 });
    }
}
