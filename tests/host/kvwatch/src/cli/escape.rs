//! Makes text of guests, stores and files safe for a terminal.

use std::fmt::Write as _;

/// The text with escapes for all characters that control a terminal or change the order of the text. Tabs do not change.
pub(crate) fn line(text: &str) -> String {
    escape(text, |c| c == '\t')
}

/// Like [`line`], but line ends do not change.
pub(crate) fn lines(text: &str) -> String {
    escape(text, |c| matches!(c, '\t' | '\n'))
}

/// Like [`lines`], but sequences that set a colour or a weight (`ESC [ 1 ; 31 m`) do not change. cargo and rustc write them.
pub(crate) fn coloured(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut kept = lines(parts.next().unwrap_or_default());
    for part in parts {
        let body = part.strip_prefix('[').unwrap_or_default();
        let parameters = body.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(body.len());
        if body[parameters..].starts_with('m') {
            kept.push_str("\x1b[");
            kept.push_str(&body[..=parameters]);
            kept.push_str(&lines(&body[parameters + 1..]));
        } else {
            kept.push_str(&lines("\x1b"));
            kept.push_str(&lines(part));
        }
    }
    kept
}

/// Bytes as text. A byte that is not UTF-8 is escaped as `\xff`.
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

/// The start of a content as text in quotes. Bytes that are not text are escaped.
pub(crate) fn start(content: &[u8]) -> String {
    format!("\"{}\"", bytes(whole_characters(content)))
}

/// The start of a content without a character that is cut off at its end.
pub(crate) fn whole_characters(content: &[u8]) -> &[u8] {
    match str::from_utf8(content) {
        Err(error) if error.error_len().is_none() => &content[..error.valid_up_to()],
        _ => content,
    }
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
        assert_eq!(
            coloured("\x1b[1;31merror\x1b[0m\n\x1b[2J\x1b]0;t\x07"),
            "\x1b[1;31merror\x1b[0m\n\\u{1b}[2J\\u{1b}]0;t\\u{7}"
        );
        assert_eq!(coloured("\x1b[31\x1b"), "\\u{1b}[31\\u{1b}");
        assert_eq!(bytes(b"\x89PNG\n\xe2\x82"), "\\x89PNG\\n\\xe2\\x82");
    }
}
