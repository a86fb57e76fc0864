//! Tests the accounts of the host, and the bounds on its memory for a guest that breaks rules for ever.

use inbound_keyvalue_host::{BadHandle, Content, Host, Numbering, Personality};

#[test]
fn a_new_value_has_no_fault_of_an_older_one_with_its_number() {
    let mut host = Host::new(Personality::deviating(|p| {
        p.numbering = Numbering { per_kind: true, first: 0, reuse: true };
    }));
    let old = host.new_value().unwrap();
    let stream = host.value_write_body(old).unwrap().unwrap();
    host.drop_value(old).unwrap();
    let new = host.new_value().unwrap();
    assert_eq!(old, new, "the number is reused");
    host.drop_value(new).unwrap();
    host.drop_output_stream(stream).unwrap();
    let violations: Vec<_> = host.end().iter().map(ToString::to_string).collect();
    assert_eq!(violations, ["value 0 was dropped before the stream that writes it (from `new-value`)"]);
}

#[test]
fn a_stream_that_reuses_a_number_does_not_belong_to_another_value() {
    let mut host = Host::new(Personality::deviating(|p| {
        p.numbering = Numbering { per_kind: true, first: 0, reuse: true };
    }));
    let first = host.new_value().unwrap();
    let stream = host.value_write_body(first).unwrap().unwrap();
    host.drop_output_stream(stream).unwrap();
    let second = host.new_value().unwrap();
    let again = host.value_write_body(second).unwrap().unwrap();
    assert_eq!(stream, again, "the number is reused");
    host.drop_value(first).unwrap();
    host.drop_output_stream(again).unwrap();
    host.drop_value(second).unwrap();
    assert_eq!(host.end(), []);
}

#[test]
fn a_transfer_that_fails_at_its_output_loses_nothing_of_its_input() {
    for forward in [false, true] {
        let mut host = Host::new(Personality::deviating(|p| p.write.error_at = Some(2)));
        let payload = host.make_payload(Content::from("text"));
        let source = host.payload_consume_async(payload).unwrap().unwrap();
        let value = host.new_value().unwrap();
        let body = host.value_write_body(value).unwrap().unwrap();
        assert_eq!(host.write(body, b"ab").unwrap(), Ok(2));
        if forward {
            assert!(host.forward(body, source).unwrap().is_err());
        } else {
            assert!(host.splice(body, source, 99).unwrap().is_err());
        }
        assert_eq!(host.read(source, 99).unwrap(), Ok((b"text".to_vec(), true)));
        host.drop_input_stream(source).unwrap();
        host.drop_output_stream(body).unwrap();
        host.drop_value(value).unwrap();
        assert_eq!(host.end(), []);
    }
}

#[test]
fn a_huge_read_with_an_excess_is_bounded() {
    let name = "reads-far-too-many";
    for len in [u64::MAX, 1 << 32, 1 << 20] {
        let mut host = Host::new(Personality::named(name).unwrap());
        let payload = host.make_payload(Content::from("text"));
        let source = host.payload_consume_async(payload).unwrap().unwrap();
        let (answer, _) = host.read(source, len).unwrap().unwrap();
        assert!(answer.len() <= 32 << 20, "{} bytes", answer.len());
    }
}

#[test]
fn violations_are_counted_and_few_are_kept() {
    let mut host = Host::new(Personality::deviating(|p| p.bad_handle = BadHandle::Note));
    for _ in 0..100_000 {
        host.skip(0, 1).unwrap().unwrap_err();
    }
    assert_eq!((host.end().len(), host.violation_count()), (64, 100_000));
    for _ in 0..100_000 {
        host.new_value().unwrap();
    }
    assert_eq!(host.end().len(), 64, "leaks as well");
}

#[test]
fn written_values_are_kept_up_to_a_bound() {
    let mut host = Host::new(Personality::default());
    for _ in 0..10_000 {
        let value = host.new_value().unwrap();
        let body = host.value_write_body(value).unwrap().unwrap();
        assert_eq!(host.write_repeated(body, b'x', u64::MAX).unwrap(), Ok(1 << 20));
        host.drop_output_stream(body).unwrap();
        host.drop_value(value).unwrap();
    }
    let kept: usize = host.values().iter().map(|value| value.bytes.len()).sum();
    assert!(kept <= 64 << 20, "{kept} bytes");
    assert!(host.values().len() <= 4096);
    assert_eq!(host.end(), []);
}
