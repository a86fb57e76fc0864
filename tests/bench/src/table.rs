//! A table with the figures of two sides, their ratio, and the goal.

use std::fmt::{self, Display};
use std::ops::Range;
use std::time::Duration;

use crate::counted::Pair;
use crate::timed::Paired;

/// The goal of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// No goal: the row is only for comparison.
    None,
    /// The ratio of the right side to the left side is at most this.
    RatioAtMost(f64),
    /// The ratio of the right side to the left side is at least this.
    RatioAtLeast(f64),
    /// The right side's figure is at most this. The left side's figure does not matter.
    AtMost(u64),
}

impl Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => Ok(()),
            Self::RatioAtMost(ratio) => write!(f, "≤ {ratio:.2}×"),
            Self::RatioAtLeast(ratio) => write!(f, "≥ {ratio:.2}×"),
            Self::AtMost(figure) => write!(f, "≤ {}", grouped(figure)),
        }
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    left: String,
    right: String,
    ratio: String,
    goal: Goal,
    missed: bool,
}

impl Row {
    /// Creates a row of counted figures.
    pub fn counted(what: impl Into<String>, pair: Pair, goal: Goal) -> Self {
        let ratio = pair.ratio();
        Self {
            what: what.into(),
            left: grouped(pair.by_hand),
            right: grouped(pair.with_sdk),
            ratio: ratio.map(|ratio| format!("{ratio:.4}")).unwrap_or_default(),
            goal,
            missed: match goal {
                Goal::None => false,
                // Goals have two decimals.
                Goal::RatioAtMost(goal) => ratio.is_some_and(|ratio| hundredths(ratio) > hundredths(goal)),
                Goal::RatioAtLeast(goal) => ratio.is_some_and(|ratio| hundredths(ratio) < hundredths(goal)),
                Goal::AtMost(goal) => pair.with_sdk > goal,
            },
        }
    }

    /// Creates a row of times. `figure` formats a time. The ratio is the ratio of the speeds.
    pub fn speed(what: impl Into<String>, paired: &Paired, figure: impl Fn(Duration) -> String, goal: f64) -> Self {
        let [low, median, high] = paired.quartiles;
        Self {
            what: what.into(),
            left: figure(paired.left),
            right: figure(paired.right),
            ratio: format!("{median:.2} ({low:.2}–{high:.2})"),
            goal: Goal::RatioAtLeast(goal),
            missed: hundredths(median) < hundredths(goal),
        }
    }

    /// Creates a row like [`speed`](Self::speed), but without a goal.
    pub fn compared(what: impl Into<String>, paired: &Paired, figure: impl Fn(Duration) -> String) -> Self {
        Self { goal: Goal::None, missed: false, ..Self::speed(what, paired, figure, 0.0) }
    }

    /// Creates a row of times that should be short. The ratio is the ratio of the times.
    pub fn effort(what: impl Into<String>, paired: &Paired, goal: f64) -> Self {
        let [low, median, high] = paired.quartiles.map(f64::recip);
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        Self {
            what: what.into(),
            left: seconds(paired.left),
            right: seconds(paired.right),
            // The reciprocal of the lower quartile is the upper quartile of the reciprocals.
            ratio: format!("{median:.2} ({high:.2}–{low:.2})"),
            goal: Goal::RatioAtMost(goal),
            missed: hundredths(median) > hundredths(goal),
        }
    }
}

fn hundredths(ratio: f64) -> f64 {
    (ratio * 100.0).round()
}

/// The number, with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// Rows under headings, displayed as a Markdown table.
#[derive(Clone, Debug)]
pub struct Table {
    left: &'static str,
    right: &'static str,
    rows: Vec<Row>,
}

impl Table {
    /// Creates an empty table that compares these two sides.
    #[must_use]
    pub fn new(left: &'static str, right: &'static str) -> Self {
        Self { left, right, rows: Vec::new() }
    }

    /// Adds rows.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Whether the table has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![["what", self.left, self.right, "ratio", "goal"].map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| {
            let missed = if row.missed { ", missed" } else { "" };
            let goal = format!("{}{missed}", row.goal);
            [row.what.clone(), row.left.clone(), row.right.clone(), row.ratio.clone(), goal]
        }));
        markdown(f, &lines, &(1..4))
    }
}

/// Writes a Markdown table. The first line contains the headings. `figures` are the columns of numbers.
pub(crate) fn markdown<const COLUMNS: usize>(
    f: &mut fmt::Formatter<'_>,
    lines: &[[String; COLUMNS]],
    figures: &Range<usize>,
) -> fmt::Result {
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
    for (index, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            if figures.contains(&column) {
                write!(f, "| {cell:>width$} ")?;
            } else {
                write!(f, "| {cell:width$} ")?;
            }
        }
        writeln!(f, "|")?;
        if index == 0 {
            for (column, width) in widths.into_iter().enumerate() {
                write!(f, "| {}{}", "-".repeat(width), if figures.contains(&column) { ":" } else { " " })?;
            }
            writeln!(f, "|")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_in_threes() {
        assert_eq!([0, 999, 1000, 67_125_270].map(grouped), ["0", "999", "1 000", "67 125 270"]);
    }

    #[test]
    fn goals_are_missed_by_a_hundredth() {
        let missed = |by_hand, with_sdk, goal| Row::counted("", Pair { by_hand, with_sdk }, goal).missed;
        assert!(!missed(1000, 1004, Goal::RatioAtMost(1.0)));
        assert!(missed(1000, 1010, Goal::RatioAtMost(1.0)));
        assert!(missed(1000, 890, Goal::RatioAtLeast(0.9)));
        assert!(!missed(0, 11, Goal::AtMost(11)));
        assert!(missed(0, 12, Goal::AtMost(11)));
        assert!(!missed(0, 0, Goal::RatioAtMost(1.0)));
    }
}
