//! A fast parser. Most lines are short and correct, and have the value as text. This parser reads them in one pass. All other
//! lines go to the other parser, which can say what is wrong and where.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::Event;
use crate::content::Content;

/// The longest line that this parser takes. It copies the value, so memory holds the value twice.
const LONGEST: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    /// No operation has an escape in its name.
    op: &'a str,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<Cow<'a, str>>,
}

/// A field that is present. `null` is not text.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(field: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Text::deserialize(field).map(|Text(text)| Some(text))
}

/// The event of such a line. `None` for every other line.
pub(super) fn parse(line: &[u8]) -> Option<Event> {
    // serde takes an array for a struct too.
    if line.len() > LONGEST || !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let Line { op, key, value } = serde_json::from_slice(line).ok()?;
    match (op, value) {
        ("set", Some(value)) => Some(Event::set(key, Content::owned(value.into_owned().into_bytes()))),
        ("delete", None) => Some(Event::delete(key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::parse_any;
    use super::*;

    /// The parts of a parsed event that are compared.
    fn told(event: &Event) -> String {
        format!("{event:?}")
    }

    /// The other parser accepts every line that this parser accepts, and makes the same event.
    #[test]
    fn makes_the_events_that_the_other_parser_makes() {
        let ops = [r#""set""#, r#""delete""#, r#""s\u0065t""#, r#""SET""#, "null", "1"];
        let texts = [
            r#""""#,
            r#""v""#,
            r#""\u00e9\n\ud83d\ude00""#,
            "\"é\"",
            r#""\ud83d""#,
            "\"\u{1}\"",
            r#""a\\b""#,
            "null",
            "1",
            "{}",
            r#"""#,
        ];
        let contents = ["", r#","value":"#, r#","base64":"#, r#","file":"#, r#","value":"x","value":"#, r#","note":"#];
        let ends = ["}", " }\r", "} x", "", ",}", "}}"];
        let mut taken = 0;
        for op in ops {
            for key in texts {
                for content in contents {
                    for text in texts {
                        for end in ends {
                            let text = if content.is_empty() { "" } else { text };
                            let line = format!("{{ \"key\" : {key},\"op\":{op}{content}{text}{end}");
                            let Some(event) = parse(line.as_bytes()) else { continue };
                            taken += 1;
                            let other = parse_any(line.clone().into_bytes(), None);
                            let other = other.unwrap_or_else(|error| panic!("{line}: {error}"));
                            assert_eq!((told(&event), other.unknown), (told(&other.event), None), "{line}");
                        }
                    }
                }
            }
        }
        assert!(taken > 100, "{taken}");
    }

    #[test]
    fn leaves_the_rest_to_the_other_parser() {
        let long = format!(r#"{{"op":"set","key":"k","value":"{}"}}"#, "v".repeat(LONGEST));
        for line in [
            "",
            "[]",
            r#"{"op":"set","key":"k"}"#,
            r#"{"op":"delete","key":"k","value":null}"#,
            &long,
            r#"{"op":"set","key":"k","value":"v","at":1}"#,
            r#"{"op":"set","key":"k","key":"k","value":"v"}"#,
            r#"["set","k","v"]"#,
        ] {
            assert!(parse(line.as_bytes()).is_none(), "{line}");
        }
        assert!(parse(b"{\"op\":\"set\",\"key\":\"k\",\"value\":\"\xff\"}").is_none());
    }
}
