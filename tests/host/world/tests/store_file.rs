//! Tests a store in memory as lines of JSON: a saved store is loaded exactly, and a bad line is refused with its place.

use inbound_keyvalue_host::store::MemoryStore;
use inbound_keyvalue_host::{Content, Events};

fn entries(store: &MemoryStore) -> Vec<(String, String, Vec<u8>)> {
    let mut all = Vec::new();
    for bucket in store.buckets() {
        for (key, content) in store.entries(&bucket) {
            all.push((bucket.clone(), key, content.read(0, content.len()).unwrap()));
        }
    }
    all
}

fn saved(store: &MemoryStore) -> Vec<u8> {
    let mut saved = Vec::new();
    store.save(&mut saved, "watched").unwrap();
    saved
}

#[test]
fn every_key_and_content_comes_back() {
    let store = MemoryStore::new();
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    for key in ["", "plain", "\0\u{1}\n\r\"\\/", "\u{7f}\u{202e}\u{2028}\u{feff}", "😀é", "{\"op\":\"delete\"}"] {
        for bucket in ["watched", "", "totals", "a \"b\"\n"] {
            store.insert(bucket, key, key);
        }
    }
    store.insert("watched", "bytes", &every_byte);
    store.insert("watched", "empty", "");
    store.insert("watched", "half a character", "😀".as_bytes()[..2].to_vec());
    store.insert("other", "large text", Content::repeat("ab", (1 << 20) + 1));
    for len in [(1 << 20) + 2, 1 << 21, 48 * 1024 * 43 + 1] {
        store.insert("other", &format!("{len}"), Content::repeat(every_byte.clone(), len));
    }
    let lines = saved(&store);
    let again = MemoryStore::new();
    again.load(Events::new(&*lines), "watched").unwrap();
    assert!(entries(&again) == entries(&store));
    assert!(saved(&again) == lines, "the order of the lines does not depend on how the store was made");
    // A line is an event too.
    let events: Vec<_> = Events::new(&*lines).collect::<Result<_, _>>().unwrap();
    assert_eq!(events.len(), entries(&store).len());
}

#[test]
fn a_line_that_is_not_a_key_of_a_store_is_refused_with_its_place() {
    for (line, message) in [
        (r#"{"op":"delete","key":"k"}"#, "line 2: column 7: a store has only keys that are set; remove this line"),
        (
            r#"{"op":"set","key":"k","value":"v","seq":1}"#,
            "line 2: column 35: the field \"seq\" is not part of a store",
        ),
        (r#"{"op":"set","key":"k","value":"v","bucket":1}"#, "line 2: column 44: the field \"bucket\" is not a string"),
        (r#"{"op":"set","key":"k"}"#, "line 2: column 22: a set needs a value"),
        ("nonsense", "line 2: column 2: this is not valid JSON"),
    ] {
        let lines = format!("{{\"op\":\"set\",\"key\":\"first\",\"value\":\"1\"}}\n{line}\n");
        let store = MemoryStore::new();
        let error = store.load(Events::new(lines.as_bytes()), "watched").unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
        assert_eq!(store.keys("watched"), ["first"]);
    }
}

#[test]
fn the_last_line_of_a_key_counts() {
    let lines = r#"{"op":"set","key":"k","value":"1"}

{"op":"set","key":"k","base64":"Mg==","bucket":"watched"}"#;
    let store = MemoryStore::new();
    store.load(Events::new(lines.as_bytes()), "watched").unwrap();
    assert_eq!(entries(&store), [("watched".to_owned(), "k".to_owned(), b"2".to_vec())]);
}
