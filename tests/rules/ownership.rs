//! Tests O1 to O9.

use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use inbound_keyvalue::testing::{ConsumedPayload, Fault, Numbering, SizeHint};
use inbound_keyvalue::{Bucket, Call, Error, InputStream, OutputStream, Payload, Value};

use crate::{assert_clean, calls, deviating, host};

#[test]
fn o1_zero_is_a_handle_and_kinds_count_apart() {
    let mut host = deviating(|p| p.numbering = Numbering { per_kind: true, first: 0, reuse: false });
    let (bucket, payload, value) = (host.event_bucket(), host.payload("text"), Value::new());
    assert_eq!((bucket.as_raw(), payload.as_raw(), value.as_raw()), (0, Some(0), 0));
    assert_eq!(payload.into_bytes().unwrap(), "text");
    drop((bucket, value));
    assert_clean(&mut host);
}

#[test]
fn o2_the_bucket_is_dropped_once_by_its_wrapper() {
    let mut host = host();
    let bucket = host.event_bucket();
    let ((), made) = calls(&host, || drop(bucket));
    assert_eq!(made, 1);
    assert_clean(&mut host);
}

#[test]
fn o2_into_raw_gives_a_handle_up() {
    let mut host = host();
    let bucket = host.event_bucket();
    let (raw, made) = calls(&host, || bucket.into_raw());
    assert_eq!(made, 0);
    let violations = host.settle();
    assert_eq!(violations.len(), 1);
    assert_eq!((violations[0].fault, violations[0].handle), (Fault::Leaked, raw));
}

#[test]
fn o3_a_consumed_payload_is_not_dropped() {
    for stays in [ConsumedPayload::Gone, ConsumedPayload::Stays] {
        let mut host = deviating(|p| p.consumed_payload = stays);
        assert_eq!(host.payload("whole").into_bytes().unwrap(), "whole");
        drop(host.payload("streamed").into_stream().unwrap());
        assert_clean(&mut host);
    }
}

#[test]
fn o3_a_payload_that_the_host_refused_is_not_dropped() {
    for stays in [ConsumedPayload::Gone, ConsumedPayload::Stays] {
        let mut host = deviating(|p| {
            p.consumed_payload = stays;
            p.consume_sync_error = Some("no".into());
            p.consume_async_error = Some("no".into());
        });
        assert!(host.payload("whole").into_bytes().is_err());
        assert!(host.payload("streamed").into_stream().is_err());
        let mut read = host.payload("read");
        for _ in 0..2 {
            let error = read.read(&mut [0]).unwrap_err();
            assert!(error.to_string().contains("`payload-consume-async`: no"), "{error}");
        }
        assert!(read.size().is_none());
        assert!(read.into_bytes().is_err());
        assert_clean(&mut host);
    }
}

#[test]
fn o3_a_payload_never_consumed_is_dropped_once() {
    let mut host = host();
    let payload = host.payload("text");
    let ((), made) = calls(&host, || drop(payload));
    assert_eq!(made, 1);
    assert_clean(&mut host);
}

#[test]
fn o4_size_is_asked_before_consuming_only() {
    let mut host = host();
    let mut payload = host.payload("text");
    assert_eq!(payload.size(), Some(4));
    payload.read_exact(&mut [0]).unwrap();
    let (size, made) = calls(&host, || payload.size());
    assert_eq!((size, made), (None, 0));
    drop(payload);
    assert_clean(&mut host);
}

#[test]
fn o4_a_wrong_size_changes_nothing_and_allocates_nothing() {
    for size in [SizeHint::Zero, SizeHint::Smaller, SizeHint::Larger, SizeHint::Max] {
        let mut host = deviating(|p| p.size = size);
        assert_eq!(host.payload("text").into_bytes_limited(4).unwrap(), "text", "{size:?}");
        let error = host.payload("text").into_bytes_limited(3).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 3, size: Some(_), .. }), "{error}");
        assert_clean(&mut host);
    }
}

#[test]
fn o5_an_error_is_read_at_once_and_holds_no_handle() {
    let mut host = deviating(|p| p.open_bucket_error = Some("locked".into()));
    let error = Bucket::open("users").unwrap_err();
    assert_clean(&mut host);
    assert!(matches!(&error, Error::Host { call: Call::OpenBucket, trace, .. } if trace == "locked"));
    assert_eq!(error.to_string(), "the host refused `open-bucket`: locked");
}

#[test]
fn o5_a_host_without_a_reason_is_said_to_have_given_none() {
    let _host = deviating(|p| p.open_bucket_error = Some(String::new()));
    let error = Bucket::open("users").unwrap_err();
    assert_eq!(error.to_string(), "the host refused `open-bucket`: it gave no reason");
}

#[test]
fn o6_the_stream_goes_before_its_value() {
    let mut host = host();
    let mut value = Value::new();
    value.write_all(b"text").unwrap();
    drop(value);
    let mut value = Value::new();
    value.write_all(b"text").unwrap();
    // SAFETY: given up just now.
    #[allow(unsafe_code)]
    drop(unsafe { Value::from_raw(value.into_raw()) });
    assert_clean(&mut host);
}

#[test]
fn o7_the_body_is_asked_for_once() {
    let mut host = host();
    let mut value = Value::new();
    let ((), made) = calls(&host, || {
        value.body().unwrap();
        value.body().unwrap();
        value.write_all(b"text").unwrap();
        value.finish().unwrap();
        value.finish().unwrap();
        assert!(matches!(value.body(), Err(Error::Finished)));
    });
    assert_eq!(made, 3, "value-write-body, write, drop-output-stream");
    drop(value);
    assert_clean(&mut host);
}

#[test]
fn o7_a_refused_body_is_an_error_of_its_own_and_not_asked_for_again() {
    let mut host = deviating(|p| p.value_body_error = true);
    let mut value = Value::new();
    let ((), made) = calls(&host, || {
        assert!(matches!(value.body(), Err(Error::BodyUnavailable)));
        assert!(matches!(value.finish(), Err(Error::BodyUnavailable)));
        assert!(value.write(b"text").is_err());
    });
    assert_eq!(made, 1);
    drop(value);
    assert_clean(&mut host);
}

#[test]
fn o8_the_escape_hatch_round_trips() {
    #![allow(unsafe_code)]
    let mut host = host();
    // SAFETY: each handle was given up just before.
    unsafe {
        let payload = Payload::from_raw(host.payload("text").into_raw().unwrap());
        let stream = InputStream::from_raw(payload.into_stream().unwrap().into_raw());
        let bucket = Bucket::from_raw(host.event_bucket().into_raw());
        let value = Value::from_raw(Value::new().into_raw());
        drop((stream, bucket, value));
    }
    assert_clean(&mut host);
}

#[test]
fn o8_a_payload_being_read_has_no_handle_to_give_up() {
    let mut host = host();
    let mut payload = host.payload("text");
    payload.read_exact(&mut [0]).unwrap();
    assert!(payload.as_raw().is_none());
    let payload = payload.into_raw().unwrap_err();
    assert_eq!(payload.into_string().unwrap(), "ext");
    assert_clean(&mut host);
}

#[test]
fn o8_a_host_sees_a_handle_dropped_twice_and_names_it() {
    #![allow(unsafe_code)]
    let mut host = deviating(|p| p.bad_handle = inbound_keyvalue::testing::BadHandle::Note);
    let bucket = host.event_bucket();
    // SAFETY: none. The test is about this violation.
    drop(unsafe { Bucket::from_raw(bucket.as_raw()) });
    drop(bucket);
    // SAFETY: none, as above.
    drop(unsafe { OutputStream::from_raw(77) });
    let violations = host.settle();
    let texts: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].starts_with("`drop-bucket` was called with bucket 3, which was dropped before (from `on-"),
        "{texts:?}"
    );
    assert_eq!(texts[1], "`drop-output-stream` was called with output-stream 77, which does not exist");
}

#[test]
fn o9_dropping_while_a_handler_panics_is_harmless() {
    let mut host = host();
    let (bucket, payload) = (host.event_bucket(), host.payload("text"));
    let held = AssertUnwindSafe((bucket, payload.into_stream().unwrap(), Value::new()));
    assert!(
        catch_unwind(move || {
            let _held = held;
            std::panic::resume_unwind(Box::new("a handler's"));
        })
        .is_err()
    );
    host.settle();
}

#[test]
fn o9_dropping_after_its_host_or_while_it_is_borrowed_is_harmless() {
    let mut gone = host();
    let bucket = gone.event_bucket();
    drop(gone);
    drop(bucket);
    let mut borrowed = host();
    let bucket = borrowed.event_bucket();
    let held = borrowed.host_mut();
    drop(bucket);
    drop(held);
}
