use std::collections::VecDeque;

/// Lines that a user typed or pasted at a prompt. They wait until the prompt runs them, one after the other.
///
/// A terminal passes a paste of several lines as one text. The prompt runs each line in turn. After a line that it refuses, it
/// [clears](Self::clear) the others, because they may depend on the refused line.
#[derive(Debug, Default)]
pub(crate) struct Pasted {
    lines: VecDeque<String>,
}

impl Pasted {
    /// Adds the lines of a text. Empty lines are left out.
    pub(crate) fn add(&mut self, text: &str) {
        // A terminal pastes a line's end as a carriage return.
        let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
        self.lines.extend(lines.map(str::to_owned));
    }

    /// Whether no line waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The next line.
    pub(crate) fn next_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    /// Drops the lines that were not run, and returns their number.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.lines).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_is_cut_into_lines_that_can_be_dropped() {
        let mut pasted = Pasted::default();
        pasted.add("set a 1\r\n\nset b 2\n");
        assert_eq!(pasted.next_line().as_deref(), Some("set a 1"));
        assert_eq!(pasted.clear(), 1);
        assert_eq!(pasted.next_line(), None);
    }
}
