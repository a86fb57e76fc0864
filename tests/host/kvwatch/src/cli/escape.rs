//! Text of guests, stores and files, made safe for a terminal.

use std::fmt::Write as _;

/// The text with all characters escaped that control a terminal or change the order of the text. Tabs stay.
pub(crate) fn line(text: &str) -> String {
    escape(text, |c| c == '\t')
}

/// As [`line`], and line ends stay.
pub(crate) fn lines(text: &str) -> String {
    escape(text, |c| matches!(c, '\t' | '\n'))
}

/// Bytes as text. What is not UTF-8 is escaped as `\xff`.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(&line(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The start of a content as text in quotes. Bytes that are not text are escaped; a character that is cut off at the end is left out.
pub(crate) fn start(content: &[u8]) -> String {
    let whole = match str::from_utf8(content) {
        Err(error) if error.error_len().is_none() => &content[..error.valid_up_to()],
        _ => content,
    };
    format!("\"{}\"", bytes(whole))
}

fn escape(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if controls(c) && !stays(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters, line and paragraph separators, invisible characters, and those that turn the direction of text.
fn controls(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_controls_a_terminal_is_left() {
        for (text, expected) in [
            ("Größe\tx 😀", "Größe\tx 😀"),
            ("\x1b[2J\x07\r", "\\u{1b}[2J\\u{7}\\r"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("a\u{2066}b\u{200b}", "a\\u{2066}b\\u{200b}"),
            ("one\ntwo", "one\\ntwo"),
        ] {
            assert_eq!(line(text), expected);
        }
        assert_eq!(lines("one\n\ttwo\r"), "one\n\ttwo\\r");
        assert_eq!(start(&"a\"ß".as_bytes()[..3]), "\"a\"\"");
        assert_eq!(start(b"\xff\n"), "\"\\xff\\n\"");
        assert_eq!(bytes(b"\x89PNG\n\xe2\x82"), "\\x89PNG\\n\\xe2\\x82");
    }
}
