//! Tests the parts of the SDK that an author and an operator see: numbers, kinds and texts of errors, names of calls, handles,
//! bounds.

use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};

use inbound_keyvalue::testing::{Content, Personality, Repeat, Size, TestHost, Transfer};
use inbound_keyvalue::{
    Bucket, Call, Error, Failure, HandleWatch, HandlerResult, Key, MAX_ATTEMPTS, MAX_READ, Operation, Payload, Value,
};

use crate::{Idle, assert_clean, calls, deviating, host};

#[test]
fn the_bounds_are_those_of_the_documentation() {
    assert_eq!((MAX_READ, MAX_ATTEMPTS), (65_536, 32));
}

/// The number of bytes that a read asks for. If a host returns too many bytes, the error has this number.
fn asked(read: impl FnOnce(&mut inbound_keyvalue::InputStream) -> io::Error) -> u64 {
    let mut host = deviating(|p| p.read.excess = 1);
    let mut stream = host.payload(Content::repeat("x", 1 << 20)).into_stream().unwrap();
    match read(&mut stream).downcast() {
        Ok(Error::Excess { asked, answered, .. }) => {
            assert_eq!(answered, asked + 1);
            asked
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_read_asks_for_a_chunk_or_for_the_room_of_a_large_buffer() {
    assert_eq!(asked(|stream| stream.read(&mut [0; 1]).unwrap_err()), 65_536);
    assert_eq!(asked(|stream| stream.read(&mut [0; 4095]).unwrap_err()), 65_536);
    assert_eq!(asked(|stream| stream.read(&mut [0; 4096]).unwrap_err()), 4096);
    assert_eq!(asked(|stream| stream.read(&mut vec![0; 65_537]).unwrap_err()), 65_536);
    assert_eq!(asked(|stream| stream.chunk().unwrap_err().into()), 65_536);
    assert_eq!(asked(|stream| stream.skip(70_000).unwrap_err().into()), 70_000);
    assert_eq!(asked(|stream| stream.fill_buf().unwrap_err()), 65_536);
    assert_eq!(asked(|stream| stream.read_to_end(&mut Vec::with_capacity(5000)).unwrap_err()), 5000);
}

#[test]
fn a_raw_handle_is_the_number_of_the_host() {
    #![allow(unsafe_code)]
    let mut host = host();
    // The host counts from 3.
    let bucket = host.event_bucket();
    let payload = host.payload("text");
    assert_eq!((bucket.as_raw(), payload.as_raw()), (3, Some(4)));
    assert_eq!(format!("{bucket:?}"), "Bucket { handle: bucket#3 }");
    let mut value = Value::new();
    let stream = payload.into_stream().unwrap();
    assert_eq!((value.as_raw(), stream.as_raw()), (5, 6));
    assert_eq!(value.body().unwrap().as_raw(), 7);
    let raw = (bucket.into_raw(), stream.into_raw(), value.into_raw(), host.payload("text").into_raw().unwrap());
    assert_eq!(raw, (3, 6, 5, 8));
    // SAFETY: each was given up above.
    unsafe {
        drop(Bucket::from_raw(3));
        drop(inbound_keyvalue::InputStream::from_raw(6));
        drop(Value::from_raw(5));
        drop(Payload::from_raw(8));
    }
    assert_clean(&mut host);
}

#[test]
fn each_error_has_its_kind_and_shows_its_message() {
    let mut refusing = deviating(|p| {
        p.open_bucket_error = Some("locked".to_owned());
        p.consume_sync_error = Some("gone".to_owned());
        p.consume_async_error = Some("busy".to_owned());
        p.value_body_error = true;
    });
    let refused = [
        (Bucket::open("users").unwrap_err(), "the host refused `open-bucket`: locked"),
        (refusing.payload("x").into_bytes().unwrap_err(), "the host refused `payload-consume-sync`: gone"),
        (refusing.payload("x").into_stream().unwrap_err(), "the host refused `payload-consume-async`: busy"),
        (
            Value::new().body().unwrap_err(),
            "the host refused `value-write-body` and gives no reason: nothing can be written to this value",
        ),
    ];
    for (error, message) in refused {
        shows(error, ErrorKind::Other, message);
    }
    assert_clean(&mut refusing);
    drop(refusing);

    let mut host = host();
    let mut value = Value::new();
    value.finish().unwrap();
    let finished = "the value is finished: write before `finish`, or make a new value";
    shows(value.body().unwrap_err(), ErrorKind::BrokenPipe, finished);
    let large = "the payload is larger than the limit of 1 bytes; the host gives its size as 4";
    shows(host.payload("text").into_bytes_limited(1).unwrap_err(), ErrorKind::FileTooLarge, large);
    let mut begun = host.payload("text");
    begun.read_exact(&mut [0]).unwrap();
    let large = "the payload is larger than the limit of 1 bytes";
    shows(begun.into_bytes_limited(1).unwrap_err(), ErrorKind::FileTooLarge, large);
    let utf8 = "the payload is not UTF-8: byte 1 of 3 does not continue the text";
    shows(host.payload(b"a\xffb".as_slice()).into_string().unwrap_err(), ErrorKind::InvalidData, utf8);
    let json = "the payload is not the JSON expected: expected value at line 1 column 1";
    shows(host.payload("x").into_json::<u8>().unwrap_err(), ErrorKind::InvalidData, json);
    drop(value);
    assert_clean(&mut host);
}

#[track_caller]
fn shows(error: Error, kind: ErrorKind, message: &str) {
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!((error.to_string(), format!("{error:?}")), (message.to_owned(), message.to_owned()));
    let error = io::Error::from(error);
    assert_eq!((error.kind(), error.to_string()), (kind, message.to_owned()));
}

#[test]
fn a_failed_stream_names_the_call_that_failed() {
    let failed = |act: fn(&mut TestHost<Idle>) -> Error| {
        let mut host = deviating(|p| (p.read.error_at, p.write.error_at) = (Some(0), Some(0)));
        let error = act(&mut host);
        assert_clean(&mut host);
        error.to_string()
    };
    let message = |call| format!("the stream failed at `{call}`; the draft gives no reason");
    assert_eq!(failed(|host| host.payload("x").into_stream().unwrap().chunk().unwrap_err()), message("read"));
    assert_eq!(failed(|host| host.payload("x").into_stream().unwrap().skip(1).unwrap_err()), message("skip"));
    assert_eq!(
        failed(|_| Value::new().write(b"x").unwrap_err().downcast().expect("an error of the SDK")),
        message("write")
    );
    assert_eq!(failed(|_| Value::new().body().unwrap().write_repeated(0, 1).unwrap_err()), message("write-repeated"));
    for (call, transfer) in [("splice", true), ("forward", false)] {
        let mut host = deviating(|p| p.write.error_at = Some(0));
        let (mut source, mut value) = (host.payload("x").into_stream().unwrap(), Value::new());
        let body = value.body().unwrap();
        let error = if transfer { body.splice(&mut source, 1) } else { body.forward(&mut source) }.unwrap_err();
        assert_eq!(error.to_string(), message(call));
        drop((source, value));
        assert_clean(&mut host);
    }
}

#[test]
fn calls_that_bring_nothing_name_the_call_and_the_attempts() {
    let mut host = deviating(|p| (p.read.empty, p.write.empty) = (Repeat::Forever, Repeat::Forever));
    let mut stream = host.payload("x").into_stream().unwrap();
    let (error, made) = calls(&host, || stream.skip(1).unwrap_err());
    assert_eq!(made, 32);
    shows(error, ErrorKind::WouldBlock, "`skip` brought neither data nor the end in 32 attempts");
    let mut value = Value::new();
    let body = value.body().unwrap();
    let (error, made) = calls(&host, || body.write_repeated(0, 1).unwrap_err());
    assert_eq!(made, 32);
    shows(error, ErrorKind::WriteZero, "`write-repeated` took no byte in 32 attempts");
    drop((stream, value));
    assert_clean(&mut host);
}

#[test]
fn every_call_has_the_name_of_the_draft() {
    let names = [
        (Call::OpenBucket, "open-bucket"),
        (Call::PayloadConsumeSync, "payload-consume-sync"),
        (Call::PayloadConsumeAsync, "payload-consume-async"),
        (Call::Read, "read"),
        (Call::Skip, "skip"),
        (Call::Write, "write"),
        (Call::WriteRepeated, "write-repeated"),
        (Call::Splice, "splice"),
        (Call::Forward, "forward"),
    ];
    for (call, name) in names {
        assert_eq!(call.to_string(), name);
    }
}

#[test]
fn skip_goes_on_until_it_has_skipped_all() {
    let mut host = deviating(|p| p.read.size = Size::Fixed(2));
    let mut stream = host.payload("0123456789").into_stream().unwrap();
    assert_eq!(stream.skip(7).unwrap(), 7);
    assert_eq!(stream.chunk().unwrap().unwrap(), "78");
    assert_eq!(stream.skip(7).unwrap(), 1);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn small_steps_through_a_buffer_call_the_host_once_a_chunk() {
    let mut host = deviating(|p| p.transfer = Transfer::Traps);
    let mut stream = host.payload("a line\nanother\n").into_stream().unwrap();
    let ((), made) = calls(&host, || {
        assert_eq!(stream.fill_buf().unwrap(), b"a line\nanother\n");
        stream.consume(2);
        assert_eq!(stream.fill_buf().unwrap(), b"line\nanother\n");
        assert_eq!(stream.skip(5).unwrap(), 5);
        assert_eq!(stream.chunk().unwrap().unwrap(), "another\n");
        assert!(stream.chunk().unwrap().is_none());
    });
    assert_eq!(made, 1);
    drop(stream);
    assert_clean(&mut host);
}

/// A watcher that keeps the facts about its failures.
#[derive(Default)]
struct Learning(Vec<(Operation, String, String, String)>);

impl HandleWatch for Learning {
    fn on_set(&mut self, _bucket: Bucket, _key: Key<'_>, _payload: Payload) -> HandlerResult {
        Err("set".into())
    }

    fn on_delete(&mut self, _bucket: Bucket, _key: Key<'_>) -> HandlerResult {
        Err("delete".into())
    }

    fn on_error(&mut self, failure: Failure<'_>) {
        let (operation, key, error) = (failure.operation(), failure.key().to_owned(), failure.error().to_string());
        self.0.push((operation, key, error, failure.to_string()));
    }
}

#[test]
fn a_failure_tells_operation_key_and_error() {
    let mut host = TestHost::with_watcher(Personality::default(), Learning::default);
    let _ = (host.set("a", "text"), host.delete("b"));
    let due = |operation, key: &str, error: &str, text: &str| (operation, key.into(), error.into(), text.into());
    assert_eq!(
        host.watcher().unwrap().0,
        [
            due(Operation::Set, "a", "set", "on-set of \"a\" failed: set"),
            due(Operation::Delete, "b", "delete", "on-delete of \"b\" failed: delete"),
        ]
    );
    assert_eq!((Operation::Set.to_string(), Operation::Delete.as_str()), ("on-set".to_owned(), "on-delete"));
}
