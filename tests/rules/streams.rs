//! Tests R1 to R5 and W1 to W3, and the promises of std about `Read`, `BufRead` and `Write`.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};

use inbound_keyvalue::testing::{AfterEnd, Content, End, Repeat, Size, TestHost, Transfer};
use inbound_keyvalue::{Error, MAX_ATTEMPTS, MAX_READ, OutputStream, Value};

use crate::{Idle, assert_clean, calls, deviating, host};

/// Attempts, and the few calls around them.
const FEW: u64 = MAX_ATTEMPTS as u64 + 4;

#[test]
fn r1_an_empty_buffer_is_no_call() {
    let mut host = host();
    let mut payload = host.payload("text");
    let ((), made) = calls(&host, || assert_eq!(payload.read(&mut []).unwrap(), 0));
    assert_eq!(made, 0);
    let mut stream = payload.into_stream().unwrap();
    let ((), made) = calls(&host, || assert_eq!(stream.read(&mut []).unwrap(), 0));
    assert_eq!(made, 0);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn r2_the_end_comes_with_data_or_alone_and_is_never_read_past() {
    for end in [End::WithData, End::Alone] {
        let mut host = deviating(|p| {
            p.read.end = end;
            p.read.after_end = AfterEnd::Repeats;
        });
        let mut stream = host.payload("text").into_stream().unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        let ((), made) = calls(&host, || {
            assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
            assert!(stream.chunk().unwrap().is_none());
            assert!(stream.fill_buf().unwrap().is_empty());
            assert_eq!(stream.skip(9).unwrap(), 0);
            assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
        });
        assert_eq!(made, 0, "{end:?}");
        drop(stream);
        assert_clean(&mut host);
    }
}

#[test]
fn r3_an_empty_list_is_not_the_end() {
    let mut host = deviating(|p| p.read.empty = Repeat::Times(MAX_ATTEMPTS - 1));
    assert_eq!(host.payload("text").into_bytes_limited(4).unwrap(), "text");
    assert_clean(&mut host);
}

#[test]
fn r3_nothing_for_ever_is_would_block_within_a_bounded_number_of_calls() {
    let mut host = deviating(|p| p.read.empty = Repeat::Forever);
    let mut stream = host.payload("text").into_stream().unwrap();
    let (error, made) = calls(&host, || stream.read(&mut [0; 9]).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!(made, u64::from(MAX_ATTEMPTS));
    let (error, made) = calls(&host, || stream.skip(1).unwrap_err());
    assert!(matches!(error, Error::NotReady { attempts: MAX_ATTEMPTS, .. }), "{error}");
    assert!(made <= FEW);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn r3_a_stream_that_was_not_ready_can_be_asked_again() {
    let mut host = deviating(|p| p.read.empty = Repeat::Times(MAX_ATTEMPTS + 3));
    let mut stream = host.payload("text").into_stream().unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 4);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn r4_what_is_asked_for_is_bounded() {
    let mut host = host();
    let mut stream = host.payload(Content::repeat("x", 200_000)).into_stream().unwrap();
    let mut buf = vec![0; 100_000];
    assert_eq!(stream.read(&mut buf).unwrap(), MAX_READ);
    assert_eq!(stream.chunk().unwrap().unwrap().len(), MAX_READ);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn r4_a_longer_answer_than_was_asked_for_is_an_error() {
    let mut host = deviating(|p| p.read.excess = 1);
    let mut stream = host.payload("text").into_stream().unwrap();
    let mut buf = [0; 5000];
    let error = stream.read(&mut buf).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "the host answered `read` with 5001 bytes, where at most 5000 were asked for");
    assert!(matches!(error.downcast::<Error>(), Ok(Error::Excess { asked: 5000, answered: 5001, .. })));
    assert_eq!(buf, [0; 5000], "none of it is taken for data");
    let (_, made) = calls(&host, || stream.chunk().unwrap_err());
    assert_eq!(made, 0);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn r4_small_reads_are_served_from_a_chunk() {
    let mut host = host();
    let mut payload = host.payload(Content::repeat("text", 3_000));
    let (read, made) = calls(&host, || payload.by_ref().bytes().filter_map(Result::ok).count());
    assert_eq!(read, 3_000);
    assert!(made < 5, "{made} calls");
    drop(payload);
    assert_clean(&mut host);
}

#[test]
fn r5_a_failed_stream_is_not_touched_again() {
    let mut host = deviating(|p| {
        p.read.size = Size::Fixed(2);
        p.read.error_at = Some(2);
    });
    let mut stream = host.payload("text").into_stream().unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 2);
    let error = stream.read(&mut [0; 9]).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("`read`")), (ErrorKind::Other, true));
    let ((), made) = calls(&host, || {
        assert!(stream.read(&mut [0; 9]).is_err());
        assert!(stream.fill_buf().is_err());
        assert!(stream.skip(1).is_err());
        assert!(stream.read_to_end(&mut Vec::new()).is_err());
    });
    assert_eq!(made, 0);
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn read_to_end_counts_what_it_appends() {
    let mut host = host();
    let mut stream = host.payload("text").into_stream().unwrap();
    let mut read = b"some ".to_vec();
    assert_eq!(stream.read_to_end(&mut read).unwrap(), 4);
    assert_eq!(read, b"some text");
    drop(stream);
    assert_clean(&mut host);
}

#[test]
fn w1_an_empty_buffer_is_no_call_and_short_writes_are_normal() {
    let mut host = deviating(|p| p.write.size = Size::Fixed(3));
    let mut value = Value::new();
    let ((), made) = calls(&host, || {
        assert_eq!(value.write(b"").unwrap(), 0);
        value.write_all(b"").unwrap();
    });
    assert_eq!(made, 0);
    assert_eq!(value.body().unwrap().write(b"").unwrap(), 0);
    assert_eq!(value.write(b"hello").unwrap(), 3);
    value.write_all(b"p me").unwrap();
    value.finish().unwrap();
    drop(value);
    assert_eq!(host.host().values()[0].bytes, b"help me");
    assert_clean(&mut host);
}

/// A value lends its stream. A stream that the guest owns is `Write` too.
#[test]
fn w1_an_owned_stream_writes_as_a_lent_one_does() {
    #![allow(unsafe_code)]
    let mut host = deviating(|p| p.write.size = Size::Fixed(3));
    let mut value = Value::new();
    let raw = value.body().unwrap().as_raw();
    // SAFETY: the handle is live, and `into_raw` gives it up before its owner, the value, is used again.
    let mut stream = unsafe { OutputStream::from_raw(raw) };
    assert_eq!(stream.write(b"hello").unwrap(), 3);
    stream.write_all(b"p me").unwrap();
    assert_eq!(stream.into_raw(), raw);
    value.finish().unwrap();
    drop(value);
    assert_eq!(host.host().values()[0].bytes, b"help me");
    assert_clean(&mut host);
}

#[test]
fn w2_a_host_that_takes_nothing_is_asked_a_bounded_number_of_times() {
    let mut host = deviating(|p| p.write.empty = Repeat::Forever);
    let mut value = Value::new();
    let (error, made) = calls(&host, || value.write_all(b"text").unwrap_err());
    assert_eq!(error.kind(), ErrorKind::WriteZero);
    assert!(made <= FEW, "{made}");
    let (error, made) = calls(&host, || value.body().unwrap().write_repeated(0, 9).unwrap_err());
    assert!(matches!(error, Error::WriteZero { attempts: MAX_ATTEMPTS, .. }), "{error}");
    assert!(made <= FEW, "{made}");
    drop(value);
    assert_clean(&mut host);
}

#[test]
fn w2_a_host_that_takes_nothing_for_a_while_gets_it_all() {
    let mut host = deviating(|p| p.write.empty = Repeat::Times(MAX_ATTEMPTS - 1));
    let mut value = Value::new();
    value.write_all(b"text").unwrap();
    value.finish().unwrap();
    drop(value);
    assert_eq!(host.host().values()[0].bytes, b"text");
    assert_clean(&mut host);
}

#[test]
fn w2_a_host_that_claims_too_much_is_an_error() {
    let mut host = deviating(|p| p.write.excess = 1);
    let mut value = Value::new();
    assert_eq!(value.write(b"text").unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(matches!(value.finish(), Err(Error::Excess { asked: 4, answered: 5, .. })));
    drop(value);
    assert_clean(&mut host);
}

#[test]
fn w2_a_failed_stream_is_not_touched_again() {
    for (excess, error_at) in [(1, None), (0, Some(2))] {
        let mut host = deviating(|p| (p.write.excess, p.write.error_at) = (excess, error_at));
        let mut value = Value::new();
        let first = value.write_all(b"text").unwrap_err();
        let ((), made) = calls(&host, || {
            assert!(value.write(b"text").is_err());
            assert_eq!(value.write_all(b"text").unwrap_err().to_string(), first.to_string());
            let mut body = value.body().unwrap();
            assert!(body.write_all(b"text").is_err());
            assert!(body.write_repeated(0, 9).is_err());
        });
        assert_eq!(made, 0);
        drop(value);
        assert_clean(&mut host);
    }
}

#[test]
fn w2_finish_reports_what_a_drop_would_swallow() {
    let mut host = deviating(|p| p.write.error_at = Some(2));
    let mut value = Value::new();
    let _ = value.write(b"text");
    let _ = value.write(b"xt");
    assert!(matches!(value.finish(), Err(Error::Stream { .. })));
    assert!(value.finish().is_err(), "a second call does not hide it");
    drop(value);
    assert_clean(&mut host);
}

#[test]
fn w3_generic_copying_needs_neither_splice_nor_forward() {
    let mut host = deviating(|p| p.transfer = Transfer::Traps);
    let (mut payload, mut value) = (host.payload(Content::repeat("text", 300_000)), Value::new());
    assert_eq!(io::copy(&mut payload, &mut value).unwrap(), 300_000);
    assert_eq!(io::copy(&mut BufReader::new(payload), &mut value).unwrap(), 0);
    value.finish().unwrap();
    drop(value);
    assert_clean(&mut host);
}

#[test]
fn w3_the_flag_of_splice_is_the_end_of_the_source() {
    let mut host = deviating(|p| {
        p.read.size = Size::Fixed(2);
        p.write.size = Size::Fixed(1);
    });
    let (mut stream, mut value) = (host.payload("text").into_stream().unwrap(), Value::new());
    let body = value.body().unwrap();
    assert_eq!(body.splice(&mut stream, 3).unwrap(), 3);
    assert_eq!(body.splice(&mut stream, 99).unwrap(), 1);
    let (again, made) = calls(&host, || body.splice(&mut stream, 99).unwrap());
    assert_eq!((again, made), (0, 0));
    assert_eq!(stream.read(&mut [0; 9]).unwrap(), 0);
    drop((stream, value));
    assert_eq!(host.host().values()[0].bytes, b"text");
    assert_clean(&mut host);
}

#[test]
fn w3_splice_moves_what_the_guest_holds_first() {
    let mut host = deviating(|p| p.transfer = Transfer::Traps);
    let (mut stream, mut value) = (host.payload("a line\nanother\n").into_stream().unwrap(), Value::new());
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    assert_eq!(value.body().unwrap().splice(&mut stream, 4).unwrap(), 4);
    drop((stream, value));
    assert_eq!(host.host().values()[0].bytes, b"anot");
    assert_clean(&mut host);
}

#[test]
fn w3_a_failed_transfer_ends_both_streams() {
    let mut host = deviating(|p| p.write.error_at = Some(2));
    let (mut stream, mut value) = (host.payload("text").into_stream().unwrap(), Value::new());
    assert!(value.body().unwrap().forward(&mut stream).is_err());
    let ((), made) = calls(&host, || {
        assert!(stream.read(&mut [0]).is_err());
        assert!(value.write(b"text").is_err());
    });
    assert_eq!(made, 0);
    drop((stream, value));
    assert_clean(&mut host);
}

#[test]
fn bytes_that_are_not_text_are_returned() {
    let mut host = host();
    match host.payload(b"ab\xffcd".as_slice()).into_string() {
        Err(Error::Utf8 { position: 2, bytes, .. }) => assert_eq!(bytes, b"ab\xffcd".as_slice()),
        other => panic!("{other:?}"),
    }
    assert_clean(&mut host);
}

#[test]
fn bytes_that_are_not_json_are_returned_with_line_and_column() {
    let mut host = host();
    match host.payload("[1,\n 2,\n x]").into_json::<Vec<u8>>() {
        Err(error @ Error::Json { .. }) => {
            assert_eq!(error.to_string(), "the payload is not the JSON expected: expected value at line 3 column 2");
            let Error::Json { bytes, .. } = error else { unreachable!() };
            assert_eq!(bytes, b"[1,\n 2,\n x]");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(host.payload("[1,2]").into_json::<Vec<u8>>().unwrap(), [1, 2]);
    assert_clean(&mut host);
}

#[test]
fn the_limit_stops_the_reading_and_is_named() {
    let mut host = host();
    let payload = host.payload(Content::repeat("x", 1 << 40));
    let (error, made) = calls(&host, || payload.into_bytes_limited(100_000).unwrap_err());
    assert!(made < 10, "{made} calls");
    assert_eq!(
        error.to_string(),
        "the payload is larger than the limit of 100000 bytes; the host gives its size as 1099511627776"
    );
    assert_eq!(host.payload("").into_bytes_limited(0).unwrap(), "");
    assert_eq!(host.payload("x").into_bytes_limited(usize::MAX).unwrap(), "x");
    assert_clean(&mut host);
}

#[test]
fn errors_keep_their_kind_and_source_as_io_errors() {
    let mut host = deviating(|p| p.read.empty = Repeat::Forever);
    let error = io::Error::from(host.payload("x").into_bytes_limited(9).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(matches!(error.downcast::<Error>(), Ok(Error::NotReady { .. })));
    assert_clean(&mut host);
}

#[test]
fn reading_to_the_end_keeps_what_came_before_an_error() {
    let mut host: TestHost<Idle> = deviating(|p| {
        p.read.size = Size::Fixed(2);
        p.read.error_at = Some(4);
    });
    let mut payload = host.payload("something");
    let mut read = b"so: ".to_vec();
    assert!(payload.read_to_end(&mut read).is_err());
    assert_eq!(read, b"so: some");
    drop(payload);
    assert_clean(&mut host);
}

#[test]
fn a_buffer_of_the_right_size_is_not_grown() {
    let mut host = deviating(|p| p.read.end = End::Alone);
    let mut read = Vec::with_capacity(9);
    let capacity = read.capacity();
    host.payload("something").read_to_end(&mut read).unwrap();
    assert_eq!((read.as_slice(), read.capacity()), (b"something".as_slice(), capacity));
    assert_clean(&mut host);
}
