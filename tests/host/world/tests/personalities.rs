//! Tests the state that decorators keep of handles, and the combination of decorators.

use inbound_keyvalue_host::{
    AfterEnd, ConsumedPayload, Content, End, Host, Numbering, Personality, Repeat, Size, SizeHint,
};

fn stream(host: &mut Host, content: &str) -> u32 {
    let payload = host.make_payload(Content::from(content.to_owned()));
    host.payload_consume_async(payload).unwrap().unwrap()
}

fn body(host: &mut Host) -> u32 {
    let value = host.new_value().unwrap();
    host.value_write_body(value).unwrap().unwrap()
}

#[test]
fn each_stream_waits_for_itself() {
    let mut host = Host::new(Personality::deviating(|p| p.read.empty = Repeat::Times(2)));
    let (a, b) = (stream(&mut host, "a"), stream(&mut host, "b"));
    for _ in 0..2 {
        assert_eq!(host.read(a, 9).unwrap(), Ok((vec![], false)));
        assert_eq!(host.read(b, 9).unwrap(), Ok((vec![], false)));
    }
    assert_eq!(host.read(a, 9).unwrap(), Ok((b"a".to_vec(), true)));
    assert_eq!(host.read(b, 9).unwrap(), Ok((b"b".to_vec(), true)));
}

#[test]
fn a_new_stream_does_not_wait_less_because_of_an_older_one_with_its_number() {
    for end_event in [false, true] {
        let mut host = Host::new(Personality::deviating(|p| {
            p.numbering = Numbering { per_kind: true, first: 0, reuse: true };
            p.read.empty = Repeat::Times(2);
        }));
        host.begin_delete();
        let old = stream(&mut host, "old");
        assert_eq!(host.skip(old, 9).unwrap(), Ok((0, false)));
        if end_event {
            host.end();
        } else {
            host.drop_input_stream(old).unwrap();
        }
        let new = stream(&mut host, "new");
        assert_eq!(old, new, "the number is reused");
        for _ in 0..2 {
            assert_eq!(host.read(new, 9).unwrap(), Ok((vec![], false)));
        }
        assert_eq!(host.read(new, 9).unwrap(), Ok((b"new".to_vec(), true)));
    }
}

#[test]
fn a_consumed_payload_that_stays_keeps_its_number_and_does_no_harm() {
    let mut host = Host::new(Personality::deviating(|p| {
        p.numbering = Numbering { per_kind: false, first: 0, reuse: true };
        p.consumed_payload = ConsumedPayload::Stays;
        p.consume_sync_error = Some("refused".to_owned());
    }));
    let first = host.begin_set(&Content::from("first")).payload;
    let source = host.payload_consume_async(first).unwrap().unwrap();
    assert_ne!(source, first);
    let second = host.make_payload(Content::from("second"));
    let error = host.payload_consume_sync(second).unwrap().unwrap_err();
    assert_eq!(host.trace(error).unwrap(), "refused");
    // Each of these calls breaks a rule, and works.
    assert_eq!(host.size(first).unwrap(), 5);
    let error = host.payload_consume_sync(first).unwrap().unwrap_err();
    assert_eq!(host.trace(error).unwrap(), format!("there is no payload {first} to consume"));
    host.drop_payload(first).unwrap();
    let violations: Vec<_> = host.end().iter().map(ToString::to_string).collect();
    assert_eq!(violations.len(), 3 + 4, "and four handles that were not dropped: {violations:#?}");
    for (violation, call) in violations.iter().zip(["size", "payload-consume-sync", "drop-payload"]) {
        let due = format!("`{call}` was called with payload {first}, which was consumed before (from `on-set`)");
        assert_eq!(*violation, due);
    }
    assert!(violations[3..].iter().all(|violation| !violation.starts_with("payload")), "{violations:#?}");
}

#[test]
fn only_a_call_with_a_length_exceeds_it() {
    let mut host = Host::new(Personality::deviating(|p| (p.read.excess, p.write.excess) = (2, 3)));
    let source = stream(&mut host, "source");
    let body = body(&mut host);
    assert_eq!(host.read(source, 1).unwrap(), Ok((b"s++".to_vec(), false)));
    assert_eq!(host.skip(source, 1).unwrap(), Ok((3, false)));
    assert_eq!(host.splice(body, source, 1).unwrap(), Ok((3, false)));
    assert_eq!(host.forward(body, source).unwrap(), Ok(3));
    assert_eq!(host.write(body, b"!").unwrap(), Ok(4));
    assert_eq!(host.write_repeated(body, b'?', 2).unwrap(), Ok(5));
    assert_eq!(host.values()[0].bytes, b"urce!??");
}

#[test]
fn the_end_of_a_source_asks_nothing_of_an_output() {
    for forward in [false, true] {
        let mut host = Host::new(Personality::deviating(|p| {
            p.read.end = End::Alone;
            p.write.error_at = Some(0);
            p.write.empty = Repeat::Forever;
        }));
        let source = stream(&mut host, "");
        let body = body(&mut host);
        if forward {
            assert_eq!(host.forward(body, source).unwrap(), Ok(0));
        } else {
            assert_eq!(host.splice(body, source, 9).unwrap(), Ok((0, true)));
        }
    }
}

/// All deviations together, without those that lose bytes.
#[test]
fn deviations_of_streams_work_together() {
    for seed in 0..200 {
        let mut host = Host::new(Personality::deviating(|p| {
            p.read.size = Size::Random;
            p.read.end = End::Alone;
            p.read.empty = Repeat::Times(3);
            p.read.after_end = AfterEnd::Repeats;
            p.read.most = 3;
            p.write.size = Size::Random;
            p.write.empty = Repeat::Times(3);
            p.size = SizeHint::Max;
            p.seed = seed;
        }));
        let text = "all work and no play ".repeat(9);
        let source = stream(&mut host, &text);
        let (value, mut read) = (body(&mut host), Vec::new());
        for round in [1, 2] {
            loop {
                let (data, end) = host.read(source, 5).unwrap().unwrap();
                assert!(data.len() <= 3);
                assert!(!end || data.is_empty(), "the end comes alone");
                read.extend(data);
                if end {
                    break;
                }
            }
            assert_eq!(read, text.repeat(round).as_bytes(), "seed {seed}: a read after the end starts again");
        }
        assert_eq!(host.forward(value, source).unwrap(), Ok(text.len() as u64));
        assert_eq!(host.values()[0].bytes, text.as_bytes());
        let after_end = host.end().iter().filter(|violation| violation.to_string().contains("after its end")).count();
        assert_eq!(after_end, 2, "by the second reading, and by `forward`");
    }
}
