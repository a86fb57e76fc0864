//! Tests for faults that were found in use.

use std::error::Error as StdError;
use std::io::{self, BufRead as _, Read as _, Write as _};

use inbound_keyvalue::testing::{Content, End, Personality, Repeat, Size, SizeHint, TestHost, Transfer};
use inbound_keyvalue::{Bucket, Bytes, Error, HandleWatch, HandlerResult, InputStream, Key, Payload, Value};

use crate::{assert_clean, calls, deviating, host};

/// Ways to begin reading. Some leave bytes in the buffer. Each returns the number of bytes that it took.
type Begin = fn(&mut Payload) -> usize;
const BEGINNINGS: [(&str, Begin); 5] = [
    ("nothing", |_| 0),
    ("read_exact of a byte", |payload| {
        payload.read_exact(&mut [0]).unwrap();
        1
    }),
    ("fill_buf", |payload| {
        payload.fill_buf().unwrap();
        0
    }),
    ("read_line", |payload| payload.read_line(&mut String::new()).unwrap()),
    ("a read past the buffer", |payload| payload.read(&mut [0; 8 * 1024]).unwrap()),
];

/// The rest of a payload, and the error that ended the reading.
type Rest = (Vec<u8>, Option<Error>);

fn failed(error: io::Error) -> Error {
    error.downcast().expect("errors of the SDK are inside io::Error")
}

fn whole(result: Result<Bytes, Error>) -> Rest {
    match result {
        Ok(bytes) => (bytes.to_vec(), None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

/// Continues reading until the end or an error. `next` adds the bytes that it read, and returns whether there may be more.
fn read_on(mut next: impl FnMut(&mut Vec<u8>) -> Result<bool, Error>) -> Rest {
    let mut rest = Vec::new();
    loop {
        match next(&mut rest) {
            Ok(true) => {}
            Ok(false) => return (rest, None),
            Err(error) => return (rest, Some(error)),
        }
    }
}

/// Every way to continue reading.
type ReadOn = fn(Payload) -> Rest;
const WAYS: [(&str, ReadOn); 8] = [
    ("into_bytes", |payload| whole(payload.into_bytes())),
    ("into_vec", |payload| whole(payload.into_vec().map(Bytes::from))),
    ("into_string", |payload| whole(payload.into_string().map(Bytes::from))),
    ("read_to_end", |mut payload| {
        let mut rest = Vec::new();
        let error = payload.read_to_end(&mut rest).err().map(failed);
        (rest, error)
    }),
    ("read", |mut payload| {
        read_on(|rest| {
            let mut buf = [0; 7];
            let read = payload.read(&mut buf).map_err(failed)?;
            rest.extend_from_slice(&buf[..read]);
            Ok(read > 0)
        })
    }),
    ("read of much", |mut payload| {
        read_on(|rest| {
            let mut buf = [0; 5000];
            let read = payload.read(&mut buf).map_err(failed)?;
            rest.extend_from_slice(&buf[..read]);
            Ok(read > 0)
        })
    }),
    ("BufRead", |mut payload| {
        read_on(|rest| {
            let held = payload.fill_buf().map_err(failed)?;
            rest.extend_from_slice(held);
            let read = held.len();
            payload.consume(read);
            Ok(read > 0)
        })
    }),
    ("chunks", |payload| {
        let (mut rest, mut error) = (Vec::new(), None);
        for chunk in payload.into_stream().unwrap() {
            match chunk {
                Ok(chunk) => rest.extend_from_slice(&chunk),
                Err(failure) => error = Some(failure),
            }
        }
        (rest, error)
    }),
];

const TEXT: &[u8] = b"hello world\nand a second line, so that there is something left";

/// There is one host at a time, because the last host of a thread answers.
fn hosts() -> impl Iterator<Item = TestHost<crate::author::Idle>> {
    [End::WithData, End::Alone].into_iter().flat_map(|end| {
        [Size::Full, Size::Fixed(1), Size::Fixed(5)]
            .into_iter()
            .map(move |size| deviating(|p| (p.read.end, p.read.size) = (end, size)))
    })
}

#[test]
fn every_way_of_reading_on_gives_all_that_is_left() {
    for (how, begin) in BEGINNINGS {
        for (way, read_on) in WAYS {
            for mut host in hosts() {
                let mut payload = host.payload(TEXT);
                let taken = begin(&mut payload);
                let (rest, error) = read_on(payload);
                assert_eq!((rest.as_slice(), error.is_none()), (&TEXT[taken..], true), "{how}, then {way}");
                assert_clean(&mut host);
            }
        }
    }
}

#[test]
fn a_limit_after_reading_has_begun_counts_what_is_left() {
    let mut host = host();
    let begun = |host: &mut TestHost<_>| {
        let mut payload = host.payload("hello world");
        payload.read_exact(&mut [0]).unwrap();
        payload
    };
    assert_eq!(begun(&mut host).into_bytes_limited(100).unwrap(), "ello world");
    assert_eq!(begun(&mut host).into_bytes_limited(10).unwrap(), "ello world");
    let error = begun(&mut host).into_bytes_limited(3).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 3, size: None, .. }), "{error}");
    assert_clean(&mut host);
}

#[test]
fn every_way_of_reading_keeps_the_limit() {
    for (how, begin) in BEGINNINGS {
        for (way, read_on) in WAYS {
            for limit in [0, 1, 6, 17, TEXT.len() - 1, TEXT.len(), TEXT.len() + 1, usize::MAX] {
                for mut host in hosts() {
                    let mut payload = host.payload(TEXT);
                    let taken = begin(&mut payload);
                    let due = &TEXT[taken..];
                    let (rest, error) = read_on(payload.limit(limit));
                    match error {
                        None => assert_eq!(rest, due, "{how}, then {way} up to {limit}"),
                        Some(Error::TooLarge { limit: named, .. }) => {
                            assert!(named == limit && due.len() > limit, "{how}, then {way} up to {limit}");
                            let whole = way.starts_with("into_");
                            assert_eq!(
                                rest,
                                if whole { b"" } else { &due[..limit] },
                                "{how}, then {way} up to {limit}"
                            );
                        }
                        Some(error) => panic!("{how}, then {way} up to {limit}: {error}"),
                    }
                    assert_eq!(due.len() > limit, rest.len() < due.len(), "{how}, then {way} up to {limit}");
                    assert_clean(&mut host);
                }
            }
        }
    }
}

#[test]
fn skip_and_copies_inside_the_host_keep_the_limit() {
    for (name, over) in [("skip", 3), ("splice", 3), ("forward", 3)] {
        for limit in [4, 4 - over] {
            for held in [false, true] {
                let mut host = host();
                let mut value = Value::new();
                let mut stream = host.payload("text").limit(limit).into_stream().unwrap();
                if held {
                    stream.fill_buf().unwrap();
                }
                let moved = match name {
                    "skip" => stream.skip(9),
                    "splice" => value.body().unwrap().splice(&mut stream, 9),
                    _ => value.body().unwrap().forward(&mut stream),
                };
                if limit == 4 {
                    assert_eq!(moved.unwrap(), 4, "{name}");
                } else {
                    assert!(matches!(moved, Err(Error::TooLarge { limit: 1, .. })), "{name}: {moved:?}");
                    assert!(stream.chunk().is_err(), "{name}: the stream stays failed");
                }
                drop((stream, value));
                if name != "skip" {
                    assert_eq!(host.host().values()[0].bytes, b"text"[..limit], "{name}");
                }
                assert_clean(&mut host);
            }
        }
    }
}

#[test]
fn of_two_limits_the_smaller_counts() {
    let mut host = host();
    for (first, second) in [(3, 100), (100, 3), (3, 3)] {
        let error = host.payload("text").limit(first).limit(second).into_vec().unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 3, .. }), "{error}");
    }
    // If two limits end at the same byte, the first one counts.
    let mut payload = host.payload("text").limit(3);
    payload.read_exact(&mut [0]).unwrap();
    let error = payload.limit(2).into_vec().unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 3, .. }), "{error}");
    assert_eq!(host.payload("[1]").limit(3).into_json::<[u8; 1]>().unwrap(), [1]);
    assert!(matches!(host.payload("[10]").limit(3).into_json::<[u8; 1]>(), Err(Error::TooLarge { .. })));
    assert_clean(&mut host);
}

#[test]
fn a_limit_that_a_slow_host_cannot_answer_for_yet_can_be_asked_again() {
    let mut host = deviating(|p| p.read.empty = Repeat::Times(inbound_keyvalue::MAX_ATTEMPTS + 3));
    let mut stream = host.payload("text").limit(2).into_stream().unwrap();
    let (mut read, mut waited) = (Vec::new(), 0);
    let error = loop {
        match stream.chunk() {
            Ok(chunk) => read.extend_from_slice(&chunk.unwrap()),
            Err(Error::NotReady { .. }) if waited < 9 => waited += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::TooLarge { limit: 2, .. }), "{error}");
    assert_eq!((read.as_slice(), waited), (b"te".as_slice(), 2));
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn a_limit_bounds_the_calls_and_names_the_size() {
    let mut host = deviating(|p| p.size = SizeHint::True);
    let payload = host.payload(Content::repeat("x", 1 << 40)).limit(100_000);
    let (error, made) = calls(&host, || payload.into_vec().unwrap_err());
    assert!(made < 10, "{made} calls");
    assert!(error.to_string().ends_with("gives its size as 1099511627776"), "{error}");
    let mut refused = deviating(|p| p.consume_async_error = Some("no".into()));
    let error = refused.payload("text").limit(9).into_vec().unwrap_err();
    assert_eq!(error.to_string(), "the host refused `payload-consume-async`: no");
    assert_clean(&mut refused);
}

#[test]
fn finish_keeps_the_outcome_of_every_write() {
    type Fail = fn(&mut TestHost<crate::author::Idle>, &mut Value) -> Option<Error>;
    let ways: [(&str, Fail); 4] = [
        ("write_all", |_, value| value.write_all(b"text").err().map(failed)),
        ("write", |_, value| value.write(b"text").err().map(failed)),
        ("write_repeated", |_, value| value.body().unwrap().write_repeated(b'x', 9).err()),
        ("io::copy", |host, value| io::copy(&mut host.payload("text"), value).err().map(failed)),
    ];
    for (name, fail) in ways {
        // Takes nothing at first, and everything later.
        let mut host = deviating(|p| p.write.empty = Repeat::Times(inbound_keyvalue::MAX_ATTEMPTS + 1));
        let mut value = Value::new();
        let error = fail(&mut host, &mut value).expect(name);
        assert!(matches!(error, Error::WriteZero { .. }), "{name}: {error}");
        value.write_all(b"more").unwrap();
        for _ in 0..2 {
            let outcome = value.finish();
            assert!(matches!(outcome, Err(Error::WriteZero { .. })), "{name}: {outcome:?}");
        }
        drop(value);
        assert_clean(&mut host);
    }
}

#[test]
fn finish_reports_the_same_failure_again() {
    let mut host = deviating(|p| p.write.error_at = Some(2));
    let mut value = Value::new();
    assert!(value.write_all(b"text").is_err());
    for _ in 0..2 {
        assert!(matches!(value.finish(), Err(Error::Stream { .. })));
    }
    drop(value);
    let mut host_that_refuses = deviating(|p| p.value_body_error = true);
    let mut value = Value::new();
    for _ in 0..2 {
        assert!(matches!(value.finish(), Err(Error::BodyUnavailable)));
    }
    drop(value);
    assert_clean(&mut host_that_refuses);
    assert_clean(&mut host);
}

#[test]
fn a_transfer_that_its_source_fails_leaves_an_untouched_stream_of_use() {
    let mut host = deviating(|p| (p.read.error_at, p.transfer) = (Some(0), Transfer::Works));
    let mut source = host.payload("text").into_stream().unwrap();
    assert!(source.chunk().is_err());
    let mut value = Value::new();
    let (moved, made) = calls(&host, || value.body().unwrap().splice(&mut source, 9));
    assert!(matches!(moved, Err(Error::Stream { .. })), "{moved:?}");
    assert_eq!(made, 1, "value-write-body alone");
    value.write_all(b"something else").unwrap();
    drop((source, value));
    assert_clean(&mut host);
}

#[test]
fn debug_shows_no_payload() {
    let mut host = host();
    let mut payload = host.payload("secret and more\nsecret and yet more");
    payload.read_exact(&mut [0; 3]).unwrap();
    let shown = format!("{payload:?}");
    assert!(shown.contains("bytes buffered"), "{shown}");
    let mut stream = payload.into_stream().unwrap();
    let shown = [shown, format!("{stream:?}"), format!("{:?}", stream.chunks())];
    for shown in shown {
        // As text, and as the numbers of "sec" and of "ret".
        for secret in ["secret", "ret and", "115, 101", "114, 101"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let shown = format!("{:?}", stream.into_iter());
    assert!(!shown.contains("ret and") && !shown.contains("114, 101"), "{shown}");
    assert_clean(&mut host);
}

#[test]
fn a_stream_is_iterated_with_and_without_giving_it_up() {
    let mut host = deviating(|p| p.read.size = Size::Fixed(2));
    let mut stream = host.payload("text").into_stream().unwrap();
    let mut chunks: Vec<Bytes> = stream.chunks().take(1).map(Result::unwrap).collect();
    let mut rest = InputStream::into_iter(stream);
    chunks.extend(rest.by_ref().map(Result::unwrap));
    assert_eq!(chunks, ["te", "xt"]);
    let (none, made) = calls(&host, || rest.next().is_none());
    assert!(none && made == 0);
    assert_clean(&mut host);
}

#[test]
fn an_error_in_an_io_error_is_where_the_documentation_says() {
    let error = io::Error::from(Error::BodyUnavailable);
    let inner = error.get_ref().expect("it is there");
    assert!(inner.is::<Error>());
    assert!(error.source().is_none(), "a printed chain would repeat the message");
    assert!(matches!(error.downcast::<Error>(), Ok(Error::BodyUnavailable)));
}

/// An error with a cause that cannot be sent to another thread.
#[derive(Debug)]
struct Local(std::rc::Rc<str>, Option<Box<Local>>);

impl std::fmt::Display for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Local {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn question_mark_takes_every_error_in_one_handler_and_keeps_its_chain() {
    struct Mixed;

    fn local() -> Local {
        Local("outer".into(), Some(Box::new(Local("inner".into(), None))))
    }

    impl HandleWatch for Mixed {
        fn on_delete(&mut self, _bucket: Bucket, key: Key<'_>) -> HandlerResult {
            match key {
                "concrete" => Err(local())?,
                "boxed" => Err(Box::<dyn StdError>::from(local()))?,
                "sendable" => {
                    let error: Box<dyn StdError + Send + Sync> = "sent".into();
                    Err(error).map_err(|error| error as Box<dyn StdError>)?;
                }
                "anyhow" => Err(anyhow::anyhow!("inner").context("outer"))?,
                "eyre" => Err(eyre::eyre!("inner").wrap_err("outer"))?,
                "text" => Err("outer: inner")?,
                "borrowed" => Err(key)?,
                "string" => Err(String::from("outer: inner"))?,
                _ => Err(Error::BodyUnavailable)?,
            }
            Ok(())
        }
    }

    let mut host = TestHost::with_watcher(Personality::default(), || Mixed);
    for key in ["concrete", "boxed", "anyhow", "eyre", "text", "string"] {
        assert_eq!(host.delete(key).expect_failure(), format!("on-delete of {key:?} failed: outer: inner"));
    }
    assert_eq!(host.delete("sendable").expect_failure(), "on-delete of \"sendable\" failed: sent");
    assert_eq!(host.delete("borrowed").expect_failure(), "on-delete of \"borrowed\" failed: borrowed");
}

#[test]
fn a_key_is_a_str() {
    let key: Key<'_> = "users/ada";
    let map = std::collections::HashMap::from([("users/ada".to_owned(), 1)]);
    assert!("users/ada" == key && map.contains_key(key));
    let owned: String = key.to_owned();
    assert_eq!(owned, key);
}
