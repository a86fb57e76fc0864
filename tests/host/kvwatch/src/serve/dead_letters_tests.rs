use super::*;
use crate::serve::Position;

fn letter(key: &str, value: &'static [u8]) -> Letter {
    let event = Event { position: Position::first(7), key: key.into(), change: Change::Set(value.into()), depth: 0 };
    let time = SystemTime::UNIX_EPOCH;
    Letter { event: Arc::new(event), cause: "a\nb".into(), attempts: 3, deliveries: 1, time }
}

#[test]
fn d4_a_letter_is_an_event_with_its_cause() {
    let text = String::from_utf8(letter("k", b"v").to_line()).unwrap();
    assert_eq!(
        text,
        "{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\",\"cause\":\"a\\nb\",\"attempts\":3,\"deliveries\":1,\
         \"sequence\":7,\"time\":\"1970-01-01T00:00:00Z\"}\n"
    );
    let bytes = String::from_utf8(letter("k", b"\xff").to_line()).unwrap();
    assert!(bytes.contains("\"base64\":\"/w==\"") && !bytes.contains("value"), "{bytes}");
}

#[tokio::test]
async fn d4_letters_are_appended_and_a_torn_one_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.jsonl");
    let file = DeadLetterFile::open(&path).unwrap();
    file.bury(Arc::new(letter("a", b"1"))).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let long = format!("{{\"op\":\"set\",\"key\":\"{}", "x".repeat(10_000));
    for torn in [&whole[..1], &whole[..20], long.as_bytes()] {
        std::fs::write(&path, [&whole, torn].concat()).unwrap();
        file.bury(Arc::new(letter("b", b"2"))).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{text}");
    }
}

#[tokio::test]
async fn d4_text_of_the_user_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.jsonl");
    for mine in ["my notes", "{\"op\":\"delete\",\"key\":\"k\"}"] {
        std::fs::write(&path, mine).unwrap();
        DeadLetterFile::open(&path).unwrap().bury(Arc::new(letter("b", b"2"))).await.unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&format!("{mine}\n{{")));
    }
}

#[tokio::test]
async fn d4_a_full_disk_is_an_error_and_not_a_letter() {
    let file = DeadLetterFile { path: Path::new("/dev/full").into() };
    let error = file.bury(Arc::new(letter("k\u{1b}", b"1"))).await.unwrap_err().to_string();
    assert!(error.starts_with(r"cannot write the dead letter of k\u{1b} to /dev/full: "), "{error}");
}
