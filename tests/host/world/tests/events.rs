//! The format of recorded events: every line is an event, or a bad line with its place.

use std::fs;
use std::io::{self, BufReader, Read};

use inbound_keyvalue_host::{BadLine, Change, Event, Events, Problem, UnknownField};

fn value(event: &Event) -> Vec<u8> {
    let Change::Set(content) = &event.change else { panic!("{event:?}") };
    content.read(0, content.len()).unwrap()
}

fn events(lines: impl AsRef<[u8]>) -> Vec<Result<Event, BadLine>> {
    Events::new(lines.as_ref()).max_line(1000).collect()
}

#[test]
fn reads_every_form_of_an_event() {
    for (line, key, expected) in [
        (r#"{"op":"set","key":"k","value":"hello"}"#, "k", &b"hello"[..]),
        (r#" { "key" : "k" , "value" : "" , "op" : "set" } "#, "k", b""),
        (r#"{"op":"set","key":"a\"\u00e9","value":"\u00e9\n\"\\\/\ud83d\ude00z"}"#, "a\"é", "é\n\"\\/😀z".as_bytes()),
        (r#"{"\u006fp":"set","key":"\u0000","value":"\u0000"}"#, "\0", b"\0"),
        (r#"{"op":"set","key":"k","base64":"iVBORw0KGgo="}"#, "k", b"\x89PNG\r\n\x1a\n"),
        (r#"{"op":"set","key":"k","base64":"\/\/8\u003d"}"#, "k", b"\xff\xff"),
        (r#"{"op":"set","key":"k","base64":""}"#, "k", b""),
        (r#"{"seq":7,"op":"set","key":"k","value":"v","cause":{"deep":[1,null,{}]}}"#, "k", b"v"),
        ("\u{feff}{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\"}\r\n", "k", b"v"),
    ] {
        let event = Events::new(line.as_bytes()).next().unwrap().unwrap();
        assert_eq!((&*event.key, &*value(&event)), (key, expected), "{line}");
    }
    let long = "ab\u{20ac}\"\\ \n".repeat(5000);
    let line = format!(r#"{{"op":"set","key":"k","value":{}}}"#, serde_json::to_string(&long).unwrap());
    assert_eq!(value(&line.parse().unwrap()), long.as_bytes());
}

#[test]
fn base64_of_every_length_is_decoded() {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..10_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    for len in (0..8).chain(3065..3080).chain(6140..6150) {
        let text = base64::engine::general_purpose::STANDARD.encode(&bytes[..len]);
        let event: Event = format!(r#"{{"op":"set","key":"k","base64":"{text}"}}"#).parse().unwrap();
        assert_eq!(value(&event), &bytes[..len]);
    }
}

#[test]
fn a_line_that_is_not_an_event_has_its_place_and_a_remedy() {
    for (line, message) in [
        (&b"{\"op\":\"set\",\"key\":\"a\xff\",\"value\":\"\"}"[..], "column 21: byte 0xff is not valid UTF-8; save"),
        (b"nonsense", "column 2: this is not valid JSON (expected ident); an event is like {"),
        (br#"["set","k","v"]"#, "column 1: the line is not a JSON object; an event is like {"),
        (br#""set""#, "column 1: the line is not a JSON object"),
        (br#"{"op":"set","key":"k","value":"v""#, "column 34: this is not valid JSON (expected `,`)"),
        (br#"{"op":"set","key":"k","value":"v",}"#, "column 35: this is not valid JSON (expected a field name"),
        (br#"{"op":"set" "key":"k"}"#, "column 13: this is not valid JSON (expected `,`)"),
        (br#"{"op":"delete","key":"k"} {"op":"delete","key":"k"}"#, "column 27: there is more text after the event"),
        (br#"{"key":"k"}"#, "column 11: the field \"op\" is missing; an event is like {"),
        (br#"{"op":"delete"}"#, "column 15: the field \"key\" is missing"),
        (br#"{"op":"delete","op":"set","key":"k"}"#, "column 16: the field \"op\" occurs twice; write it once"),
        (br#"{"op":"delete","key":5}"#, "column 22: the field \"key\" is not a string; write it as \"key\":\"text\""),
        (br#"{"op":null,"key":"k"}"#, "column 7: the field \"op\" is not a string"),
        (br#"{"op":"set","key":"k","value":{"a":1}}"#, "column 31: the field \"value\" is not a string"),
        (br#"{"op":"put","key":"k"}"#, "column 7: \"op\" is \"put\"; write \"set\" or \"delete\""),
        (br#"{"op":"set","key":"k"}"#, "column 22: a set needs a value; add \"value\" with text"),
        (br#"{"op":"set","key":"k","value":"v","base64":"dg=="}"#, "column 44: a set has one value; keep only one"),
        (br#"{"op":"delete","key":"k","value":"v"}"#, "column 34: a delete has no value; leave out"),
        (
            br#"{"op":"set","key":"k","base64":"a*=="}"#,
            "column 34: \"base64\" is not valid base64 (Invalid symbol 42, offset 1.)",
        ),
        (br#"{"op":"set","key":"k","value":"\ud800"}"#, "column 32: this is not valid JSON ("),
        (br#"{"op":"set","key":"k","value":"\ud800\u0041"}"#, "column 32: this is not valid JSON ("),
        (br#"{"op":"set","key":"\udc00","value":""}"#, "column 2"),
        (br#"{"op":"set","key":"k","file":"a.png"}"#, "column 30: \"file\" works only in a file of events"),
    ] {
        let shown = line.escape_ascii();
        let [Err(bad), Ok(next)] = &events([line, b"\n{\"op\":\"delete\",\"key\":\"next\"}"].concat())[..] else {
            panic!("{shown}");
        };
        assert_eq!((bad.line, &*next.key), (1, "next"), "{shown}");
        let text = bad.to_string();
        assert!(text.starts_with(&format!("line 1: {message}")), "{shown}: {text}");
        assert!(!text.contains("struct") && !text.contains("variant"), "{text}");
    }
}

#[test]
fn a_line_past_the_limit_is_bad_and_the_next_is_read() {
    for end in ["\n", ""] {
        let long = format!("{{\"op\":\"set\",\"key\":\"k\",\"value\":\"{}\"}}{end}", "v".repeat(100_000));
        let all = events(format!("{long}\n{{\"op\":\"delete\",\"key\":\"next\"}}\n{long}"));
        let messages: Vec<_> =
            all.iter().map(|event| event.as_ref().map_or_else(ToString::to_string, |e| e.key.clone())).collect();
        assert_eq!(messages.len(), 3);
        assert!(messages[0].starts_with("line 1: column 1001: the line is longer than the limit of 1000 bytes; write"));
        assert_eq!(messages[1], "next");
    }
}

/// Reads the bytes, and fails after them.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk is broken")),
            read => Ok(read),
        }
    }
}

#[test]
fn an_error_of_the_reader_comes_once_and_is_the_end() {
    let mut events = Events::new(BufReader::new(Failing(b"{\"op\":\"delete\",\"key\":\"a\"}\n{\"op\"")));
    assert!(events.next().unwrap().is_ok());
    let bad = events.next().unwrap().unwrap_err();
    assert!(matches!(bad.problem, Problem::Io(_)));
    assert_eq!(bad.to_string(), "line 2: the disk is broken");
    assert!(events.next().is_none());
    assert!(events.next().is_none());
}

#[test]
fn the_first_unknown_field_is_reported_once() {
    let line = "{\"op\":\"delete\",\"key\":\"a\",\"retries\":3,\"reason\":\"x\"}\n";
    let mut events = Events::new(BufReader::new(line.repeat(3).leak().as_bytes()));
    assert_eq!(events.take_unknown_field(), None);
    assert!(events.next().unwrap().is_ok());
    let UnknownField { line, name, .. } = events.take_unknown_field().unwrap();
    assert_eq!((line, &*name), (1, "retries"));
    assert!(events.next().unwrap().is_ok());
    assert_eq!(events.take_unknown_field(), None);
}

#[test]
fn a_dead_letter_is_an_event_without_unknown_fields() {
    let line = r#"{"op":"delete","key":"a","cause":"x","attempts":3,"deliveries":1,"sequence":7,"time":"2026-11-29T17:00:00Z"}"#;
    let mut events = Events::new(line.as_bytes());
    assert!(events.next().unwrap().is_ok());
    assert_eq!(events.take_unknown_field(), None);
    let mut events = Events::new(&br#"{"op":"delete","key":"a","cause":"x","typo":1}"#[..]);
    assert!(events.next().unwrap().is_ok());
    assert_eq!(events.take_unknown_field().unwrap().name, "typo");
}

#[test]
fn a_value_may_be_in_a_file_beside_the_events() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.png"), b"\x89PNG").unwrap();
    let read = |file: &str| Event::parse_in(format!(r#"{{"op":"set","key":"k","file":"{file}"}}"#), folder.path());
    assert_eq!(value(&read("a.png").unwrap()), b"\x89PNG");
    for (file, reason) in [("none.png", "No such file"), (".", "it is a folder")] {
        let message = read(file).unwrap_err().to_string();
        assert!(
            message.starts_with("column 30: cannot read the value from the file ") && message.contains(reason),
            "{message}"
        );
    }
}
