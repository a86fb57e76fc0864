//! Tests the calls on the keys of a bucket: their effects, their errors, the number of calls to the host, and O10 to O12.

use std::io::{ErrorKind, Write as _};

use inbound_keyvalue::testing::{Ending, Personality, TestHost};
use inbound_keyvalue::{
    Bucket, Error, HandleWatch, HandlerResult, Key, Payload, Payloads, StoreCall, StoreError, Value,
};

use crate::{assert_clean, calls, deviating, host};

fn stored(error: Error) -> StoreError {
    match error {
        Error::Store(error) => error,
        other => panic!("{other}"),
    }
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>, call: StoreCall, keys: &[&str], message: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.to_string(), error.kind()), (message.to_owned(), ErrorKind::Other));
    let error = stored(error);
    assert_eq!((error.call(), error.keys()), (call, &keys.iter().map(ToString::to_string).collect::<Vec<_>>()[..]));
}

#[test]
fn get_reads_what_the_store_has_in_two_calls() {
    let mut host = host();
    host.bucket("watched").insert("a", "hello").insert("n", "[1,2]");
    let bucket = host.event_bucket();
    let (got, made) = calls(&host, || bucket.get("a").unwrap().into_bytes().unwrap());
    assert_eq!((got.as_ref(), made), (b"hello".as_slice(), 2));
    let (got, made) = calls(&host, || bucket.get_string("a").unwrap());
    assert_eq!((got.as_str(), made), ("hello", 2));
    assert_eq!(bucket.get_bytes("a").unwrap(), "hello");
    assert_eq!(bucket.get_json::<Vec<u8>>("n").unwrap(), [1, 2]);
    let (got, made) = calls(&host, || bucket.try_get("a").unwrap().unwrap().into_string().unwrap());
    assert_eq!((got.as_str(), made), ("hello", 3));
    let (got, made) = calls(&host, || bucket.try_get("b").unwrap().is_none());
    assert_eq!((got, made), (true, 1));
    let message = r#"the host refused `get` of "b": the key "b" is not set"#;
    refusal(bucket.get("b"), StoreCall::Get, &["b"], message);
    assert_eq!(stored(bucket.get("b").unwrap_err()).trace(), Some(r#"the key "b" is not set"#));
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn a_value_that_cannot_be_read_is_named_by_its_key_and_gives_its_bytes_back() {
    let mut host = host();
    host.bucket("watched").insert("k\n", b"a\xffb".as_slice());
    let bucket = host.event_bucket();
    let error = stored(bucket.get_string("k\n").unwrap_err());
    let utf8 = "the payload is not UTF-8: byte 1 of 3 does not continue the text";
    assert_eq!(error.to_string(), format!(r#"`get` of "k\u{{a}}": {utf8}"#));
    assert!(matches!(error.payload_error(), Some(Error::Utf8 { bytes, .. }) if bytes == b"a\xffb"));
    assert_eq!((error.call(), error.keys(), error.trace()), (StoreCall::Get, &["k\n".to_owned()][..], None));
    assert_eq!(format!("{error:?}"), error.to_string());
    let error = stored(bucket.get_json::<u8>("k\n").unwrap_err());
    assert!(matches!(error.payload_error(), Some(Error::Json { bytes, .. }) if bytes.len() == 3));
    drop(bucket);
    assert_clean(&mut host);

    let mut host = deviating(|p| p.consume_sync_error = Some("gone".to_owned()));
    host.bucket("watched").insert("k", "text");
    let bucket = host.event_bucket();
    let error = stored(bucket.get_bytes("k").unwrap_err());
    assert_eq!(error.to_string(), r#"`get` of "k": the host refused `payload-consume-sync`: gone"#);
    assert_eq!(error.trace(), Some("gone"));
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn set_stores_all_that_was_written_and_the_guest_drops_the_value_once() {
    let mut host = host();
    let (watched, bucket) = (host.bucket("watched"), host.event_bucket());
    let mut value = Value::new();
    value.write_all(b"some").unwrap();
    value.write_all(b" text").unwrap();
    bucket.set("a", &mut value).unwrap();
    bucket.set("b", value).unwrap();
    assert_eq!((watched.text("a"), watched.text("b")), (Some("some text".into()), Some("some text".into())));

    // O11: a value that was never written is empty, and takes no write afterwards.
    let mut value = Value::new();
    let ((), made) = calls(&host, || bucket.set("a", &mut value).unwrap());
    assert_eq!((made, watched.text("a")), (1, Some(String::new())));
    assert!(matches!(value.body(), Err(Error::Finished)));
    value.finish().unwrap();

    let ((), made) = calls(&host, || bucket.set_bytes("c", b"1234").unwrap());
    assert_eq!((made, watched.text("c")), (6, Some("1234".into())));
    let ((), made) = calls(&host, || bucket.set_bytes("c", "").unwrap());
    assert_eq!((made, watched.text("c")), (3, Some(String::new())));
    bucket.set_json("d", &[1, 2]).unwrap();
    assert_eq!(watched.text("d").as_deref(), Some("[1,2]"));
    drop((bucket, value));
    assert_clean(&mut host);
}

#[test]
fn a_value_that_may_lack_bytes_is_never_stored() {
    let mut host = deviating(|p| p.write.error_at = Some(3));
    let (watched, bucket) = (host.bucket("watched"), host.event_bucket());
    let mut value = Value::new();
    let written = value.write_all(b"too long");
    assert!(written.is_err());
    let (error, made) = calls(&host, || bucket.set("a", &mut value).unwrap_err());
    assert_eq!(error.to_string(), "the stream failed at `write`; the draft gives no reason");
    // Only the stream was dropped.
    assert_eq!(made, 1);
    assert!(bucket.set_bytes("a", "too long").is_err());
    assert!(bucket.set_many([("a", value), ("b", Value::new())]).is_err());
    assert_eq!(watched.keys(), Vec::<String>::new());
    drop(bucket);
    assert_clean(&mut host);

    let mut host = deviating(|p| p.value_body_error = true);
    let (watched, bucket) = (host.bucket("watched"), host.event_bucket());
    assert!(matches!(bucket.set_bytes("a", "text"), Err(Error::BodyUnavailable)));
    let mut value = Value::new();
    assert!(value.body().is_err());
    assert!(matches!(bucket.set("a", value), Err(Error::BodyUnavailable)));
    assert_eq!(watched.keys(), Vec::<String>::new());
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn a_value_that_is_not_json_makes_no_call() {
    let mut host = host();
    let bucket = host.event_bucket();
    let unwritable = std::collections::BTreeMap::from([([1, 2], 3)]);
    let (error, made) = calls(&host, || bucket.set_json("k", &unwritable).unwrap_err());
    assert_eq!(error.to_string(), r#"`set` of "k": the value cannot be written as JSON: key must be a string"#);
    assert_eq!(made, 0);
    let error = stored(error);
    assert_eq!((error.call(), error.keys(), error.trace()), (StoreCall::Set, &["k".to_owned()][..], None));
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn delete_exists_increment_and_compare_and_swap_take_one_call_each() {
    let mut host = host();
    let (watched, bucket) = (host.bucket("watched"), host.event_bucket());
    watched.insert("a", "x");
    assert_eq!(calls(&host, || bucket.exists("a").unwrap()), (true, 1));
    assert_eq!(calls(&host, || bucket.delete("a").unwrap()), ((), 1));
    assert_eq!(calls(&host, || bucket.exists("a").unwrap()), (false, 1));
    refusal(
        bucket.delete("a"),
        StoreCall::Delete,
        &["a"],
        r#"the host refused `delete` of "a": the key "a" is not set"#,
    );

    assert_eq!(calls(&host, || bucket.increment("n", 40).unwrap()), (40, 1));
    assert_eq!((bucket.increment("n", 2).unwrap(), watched.text("n").as_deref()), (42, Some("42")));
    assert_eq!(calls(&host, || bucket.compare_and_swap("n", 42, 7).unwrap()), (true, 1));
    assert_eq!((bucket.compare_and_swap("n", 42, 8).unwrap(), watched.text("n").as_deref()), (false, Some("7")));
    let message = r#"the host refused `compare-and-swap` of "m": the key "m" is not set"#;
    refusal(bucket.compare_and_swap("m", 0, 1), StoreCall::CompareAndSwap, &["m"], message);
    watched.insert("n", "seven");
    let message = concat!(
        r#"the host refused `increment` of "n": the content of the key "n" is not a number in decimal "#,
        "digits below 2^64"
    );
    refusal(bucket.increment("n", 1), StoreCall::Increment, &["n"], message);
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn batches_take_one_call_each() {
    let mut host = host();
    let (watched, bucket) = (host.bucket("watched"), host.event_bucket());
    let pairs = [("b", Value::from_bytes("2").unwrap()), ("a", Value::from_bytes("1").unwrap())];
    // One for `set-many`, and `drop-value` for each value.
    assert_eq!(calls(&host, || bucket.set_many(pairs).unwrap()), ((), 3));
    assert_eq!(calls(&host, || bucket.keys()), (vec!["a".to_owned(), "b".to_owned()], 1));
    let (payloads, made) = calls(&host, || bucket.get_many(&["a", "b", "a"]).unwrap());
    assert_eq!(payloads.len(), 3);
    let texts: Vec<_> = payloads.map(|payload| payload.into_string().unwrap()).collect();
    assert_eq!((texts.concat(), made), ("121".to_owned(), 1));
    let message = r#"the host refused `get-many` of "a", "z", "b" and more keys: the key "z" is not set"#;
    refusal(bucket.get_many(&["a", "z", "b", "b"]), StoreCall::GetMany, &["a", "z", "b", "b"], message);
    let message = r#"the host refused `get-many` of "a", "z", "b": the key "z" is not set"#;
    refusal(bucket.get_many(&["a", "z", "b"]), StoreCall::GetMany, &["a", "z", "b"], message);
    assert_eq!(calls(&host, || bucket.delete_many(&["z", "a"]).unwrap()), ((), 1));
    assert_eq!(watched.keys(), ["b"]);
    // An empty batch is a batch too.
    bucket.set_many::<&str, Value>([]).unwrap();
    bucket.delete_many::<&str>(&[]).unwrap();
    assert_eq!(bucket.get_many::<String>(&[]).unwrap().len(), 0);
    let (mut one, mut two) = (Value::from_bytes("1").unwrap(), Value::new());
    bucket.set_many([("c", &mut one), ("d", &mut two)]).unwrap();
    assert_eq!((watched.text("c"), watched.text("d")), (Some("1".into()), Some(String::new())));
    drop((bucket, one, two));
    assert_clean(&mut host);
}

#[test]
fn o10_payloads_that_are_not_read_or_cannot_be_read_are_dropped_once() {
    for personality in [
        Personality::default(),
        Personality::deviating(|p| p.consume_sync_error = Some("no".to_owned())),
        Personality::deviating(|p| p.consume_async_error = Some("no".to_owned())),
    ] {
        let mut host = TestHost::<crate::Idle>::with(personality);
        host.bucket("watched").insert("a", "1").insert("b", "2").insert("c", "3");
        let bucket = host.event_bucket();
        // The first is read, the second may fail, and the third is never read.
        let read = |mut payloads: Payloads| -> Result<(), Error> {
            payloads.next().unwrap().into_bytes()?;
            payloads.next().unwrap().into_stream()?;
            Ok(())
        };
        let _ = read(bucket.get_many(&["a", "b", "c"]).unwrap());
        drop(bucket.get("a").unwrap());
        drop(bucket);
        assert_clean(&mut host);
    }
}

#[test]
fn o11_a_set_many_that_fails_half_way_drops_every_value_once() {
    let mut host = deviating(|p| p.outbound.half_way = true);
    let (watched, bucket) = (host.bucket("watched"), host.event_bucket());
    let pairs = ["a", "b", "c", "d"].map(|key| (key, Value::from_bytes(key).unwrap()));
    let message = r#"the host refused `set-many` of "a", "b", "c" and more keys: the batch failed after 2 of 4 keys"#;
    refusal(bucket.set_many(pairs), StoreCall::SetMany, &["a", "b", "c", "d"], message);
    assert_eq!(watched.keys(), ["a", "b"]);
    drop(bucket);
    assert_clean(&mut host);
}

type Attempt = fn(&Bucket) -> Result<(), Error>;

#[test]
fn every_call_can_be_refused_once() {
    let mut host = host();
    host.bucket("watched").insert("k", "1");
    let bucket = host.event_bucket();
    let named = |call: StoreCall| format!("the host refused `{call}` of \"k\": not now");
    let attempts: [(StoreCall, Attempt); 9] = [
        (StoreCall::Get, |bucket| bucket.get("k").map(drop)),
        (StoreCall::Set, |bucket| bucket.set_bytes("k", "1")),
        (StoreCall::Exists, |bucket| bucket.try_get("k").map(drop)),
        (StoreCall::Increment, |bucket| bucket.increment("k", 1).map(drop)),
        (StoreCall::CompareAndSwap, |bucket| bucket.compare_and_swap("k", 1, 1).map(drop)),
        (StoreCall::GetMany, |bucket| bucket.get_many(&["k"]).map(drop)),
        (StoreCall::SetMany, |bucket| bucket.set_many([("k", Value::from_bytes("1")?)])),
        (StoreCall::DeleteMany, |bucket| bucket.delete_many(&["k"])),
        (StoreCall::Delete, |bucket| bucket.set_bytes("k", "1").and_then(|()| bucket.delete("k"))),
    ];
    for (call, attempt) in attempts {
        host.refuse_next(call, "not now");
        refusal(attempt(&bucket), call, &["k"], &named(call));
        attempt(&bucket).unwrap();
    }
    host.refuse_next(StoreCall::Get, "");
    refusal(bucket.get("k"), StoreCall::Get, &["k"], "the host refused `get` of \"k\": it gave no reason");
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn a_key_cannot_control_the_terminal_that_shows_its_error() {
    let mut host = host();
    let bucket = host.event_bucket();
    host.refuse_next(StoreCall::Get, "no");
    let error = bucket.get("\x1b[2J\"\u{202e}\n\\\0\u{10ffff}").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the host refused `get` of "\u{1b}[2J\u{22}\u{202e}\u{a}\u{5c}\u{0}\u{10ffff}": no"#
    );
    drop(bucket);
    assert_clean(&mut host);
}

#[test]
fn every_call_on_the_store_has_the_name_of_the_draft() {
    let names = [
        (StoreCall::Get, "get"),
        (StoreCall::Set, "set"),
        (StoreCall::Delete, "delete"),
        (StoreCall::Exists, "exists"),
        (StoreCall::Increment, "increment"),
        (StoreCall::CompareAndSwap, "compare-and-swap"),
        (StoreCall::GetMany, "get-many"),
        (StoreCall::GetKeys, "get-keys"),
        (StoreCall::SetMany, "set-many"),
        (StoreCall::DeleteMany, "delete-many"),
    ];
    for (call, name) in names {
        assert_eq!((call.as_str(), call.to_string()), (name, name.to_owned()));
    }
}

/// Makes the call that its key names.
#[derive(Default)]
struct Acting;

impl HandleWatch for Acting {
    fn on_set(&mut self, bucket: Bucket, key: Key<'_>, payload: Payload) -> HandlerResult {
        let orders = Bucket::open("orders")?;
        match key {
            "count" => drop(bucket.increment("sets", 1)?),
            "move" => orders.set_bytes("moved", payload.into_bytes()?)?,
            "loop" => bucket.set_bytes("loop", payload.into_bytes()?)?,
            "chain/3" => {}
            _ if key.starts_with("chain/") => {
                let next: u32 = key["chain/".len()..].parse()?;
                bucket.set_bytes(format!("chain/{}", next + 1), payload.into_bytes()?)?;
            }
            "keys" => drop(bucket.keys()),
            _ => {}
        }
        Ok(())
    }

    fn on_delete(&mut self, bucket: Bucket, key: Key<'_>) -> HandlerResult {
        bucket.delete_many(&[format!("{key}/copy")])?;
        Ok(())
    }
}

fn acting() -> TestHost<Acting, fn() -> Acting> {
    TestHost::with_watcher(Personality::default(), Acting::default)
}

#[test]
fn an_outcome_shows_what_the_watcher_changed() {
    let mut host = acting();
    let changes = |outcome: inbound_keyvalue::testing::Outcome| -> Vec<_> {
        outcome.expect_handled();
        let change = |change: inbound_keyvalue::testing::StoreChange| (change.bucket, change.key, change.content);
        outcome.changes.into_iter().map(change).collect()
    };
    let due = |bucket: &str, key: &str, content: Option<&str>| (bucket.into(), key.into(), content.map(Vec::from));
    assert_eq!(changes(host.set("count", "")), [due("watched", "sets", Some("1"))]);
    assert_eq!(changes(host.set("move", "text")), [due("orders", "moved", Some("text"))]);
    assert_eq!(changes(host.delete("a")), [due("watched", "a/copy", None)]);
    assert_eq!(changes(host.set("quiet", "")), []);
    host.watching("orders");
    assert_eq!(changes(host.set("count", "")), [due("orders", "sets", Some("1"))]);
    // The host puts the change of an event into the store first.
    assert_eq!(host.bucket("orders").keys(), ["count", "moved", "sets"]);
    assert_eq!(host.bucket("watched").keys(), ["count", "move", "quiet", "sets"]);
}

#[test]
fn own_changes_are_events_only_if_the_test_asks_for_it() {
    let mut host = acting();
    let outcome = host.set("chain/0", "x");
    assert_eq!((outcome.changes.len(), outcome.fed.len()), (1, 0));
    host.feed(5);
    let mut outcome = host.set("chain/0", "x");
    for due in ["chain/1", "chain/2", "chain/3"] {
        assert_eq!(outcome.changes[0].key, due);
        outcome = outcome.fed.remove(0);
    }
    assert_eq!((outcome.changes.len(), outcome.fed.len()), (0, 0));
    // Another bucket is not watched.
    assert_eq!(host.set("move", "x").fed.len(), 0);
    host.tolerate().feed(2);
    let outcome = host.set("loop", "x");
    assert_eq!((outcome.fed.len(), outcome.fed[0].fed.len(), outcome.fed[0].fed[0].fed.len()), (1, 1, 0));
}

#[test]
#[should_panic(
    expected = "still changes keys that it watches after its own changes came back 3 times in a row: \"loop\""
)]
fn a_loop_fails_the_test() {
    let _ = acting().feed(3).set("loop", "x");
}

#[test]
fn get_keys_traps_where_the_store_cannot_answer() {
    let mut host = acting();
    host.refuse_next(StoreCall::GetKeys, "down");
    let outcome = host.set("keys", "");
    assert!(matches!(&outcome.ending, Ending::Trapped(message) if message.contains("down")), "{}", outcome.ending);
    host.set("keys", "").expect_handled();
}

#[test]
#[should_panic(expected = "`set` was called with the handles of two test hosts")]
fn a_value_cannot_be_stored_on_another_host() {
    let mut first = host();
    let bucket = first.event_bucket();
    let _second = host();
    let _ = bucket.set("k", Value::new());
}
