//! Tests the limits on the memory that a host keeps for a guest, and the end of a call that takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

mod hostile_guest;

use hostile_guest::{Call, Event};
use inbound_keyvalue_host::{CallResult, Content, Details, Host, HostLimits, Personality};

fn limited(bytes: u64, handles: usize) -> Host {
    let mut host = Host::new(Personality::default());
    let mut limits = HostLimits::default();
    (limits.bytes, limits.handles) = (bytes, handles);
    host.set_limits(limits);
    host
}

/// Calls until the host traps, and returns the number of calls that worked and the message of the trap.
fn until_trap(host: &mut Host, mut call: impl FnMut(&mut Host) -> CallResult<()>) -> (u64, String) {
    for worked in 0..1_000_000 {
        let outcome = call(host);
        assert!(host.kept_bytes() <= host.limits().bytes, "{} bytes", host.kept_bytes());
        assert!(host.live() <= host.limits().handles, "{} handles", host.live());
        if let Err(trap) = outcome {
            assert!(host.trapped());
            return (worked, trap.to_string());
        }
    }
    panic!("no limit stopped the guest");
}

/// A value with a body of `len` bytes, and the stream that writes it.
fn write_value(host: &mut Host, len: u64) -> CallResult<(u32, u32)> {
    let value = host.new_value()?;
    let body = host.value_write_body(value)?.unwrap();
    assert_eq!(host.write_repeated(body, b'x', len)?, Ok(len));
    Ok((value, body))
}

type Make = fn(&mut Host) -> CallResult<()>;

#[test]
fn live_handles_of_every_kind_are_limited() {
    let made: [(&str, Make); 4] = [
        ("`new-value`", |host| host.new_value().map(drop)),
        ("`new-error`", |host| host.new_error().map(drop)),
        ("`open-bucket`", |host| host.open_bucket("any").map(drop)),
        ("`value-write-body`", |host| {
            let value = host.new_value()?;
            host.value_write_body(value).map(drop)
        }),
    ];
    for (call, make) in made {
        let mut host = limited(1 << 30, 999);
        let (_, message) = until_trap(&mut host, make);
        assert!(message.starts_with(call), "{message}");
        assert!(message.contains("999 live handles (`HostLimits::handles`)"), "{message}");
        assert_eq!(host.end_trapped(), []);
        assert_eq!(host.kept_bytes(), 0);
        make(&mut host).unwrap();
    }
}

#[test]
fn each_live_handle_costs_bytes() {
    let (worked, message) = until_trap(&mut limited(512 * 100, usize::MAX), |host| host.new_value().map(drop));
    assert_eq!(worked, 100);
    assert!(message.contains("51200 bytes that the host keeps for the guest (`HostLimits::bytes`)"), "{message}");
}

#[test]
fn error_texts_are_counted_until_their_errors_are_dropped() {
    let mut host = limited(1 << 20, usize::MAX);
    host.set_buckets(["orders"]);
    let name = "x".repeat(10_000);
    for _ in 0..10_000 {
        let error = host.open_bucket(&name).unwrap().unwrap_err();
        host.drop_error(error).unwrap();
    }
    assert_eq!(host.kept_bytes(), 0);
    let (worked, message) = until_trap(&mut host, |host| host.open_bucket(&name).map(drop));
    assert_eq!(worked, (1 << 20) / (10_000 + 512 + "there is no bucket \"\"".len() as u64), "{message}");
}

#[test]
fn bodies_of_live_values_are_counted_whether_details_are_collected_or_not() {
    let worked = [Details::Collected, Details::Counted].map(|details| {
        let mut host = limited(10 << 20, usize::MAX);
        host.set_details(details);
        let (worked, message) = until_trap(&mut host, |host| write_value(host, 1 << 20).map(drop));
        assert!(message.starts_with("`write-repeated` exceeds the limit of 10485760 bytes"), "{message}");
        worked
    });
    assert_eq!(worked, [9, 9], "a guest sees no difference");
}

#[test]
fn a_dropped_value_gives_its_bytes_back() {
    for details in [Details::Collected, Details::Counted] {
        let mut host = limited(10 << 20, 10);
        host.set_details(details);
        for value_first in [false, true].into_iter().cycle().take(10_000) {
            let (value, body) = write_value(&mut host, 100_000).unwrap();
            assert_eq!(host.write(body, b"end").unwrap(), Ok(3));
            if value_first {
                host.drop_value(value).unwrap();
                assert!(host.kept_bytes() >= 100_000, "the stream still writes the body");
                host.drop_output_stream(body).unwrap();
            } else {
                host.drop_output_stream(body).unwrap();
                host.drop_value(value).unwrap();
            }
            assert_eq!(host.kept_bytes(), 0);
        }
        let collected: usize = host.values().iter().map(|value| value.bytes.capacity()).sum();
        assert!(collected <= 10 << 20, "{collected} bytes");
        assert_eq!(host.value_count(), 10_000);
        match details {
            Details::Collected => {
                assert_eq!(host.values().len(), 4096);
                assert!(host.values().iter().all(|value| value.len == 100_003), "lengths are always true");
                assert_eq!(host.values()[0].bytes.len(), 100_003);
            }
            _ => assert_eq!(host.values(), []),
        }
    }
}

#[test]
fn a_host_that_only_counts_keeps_no_violations() {
    let mut host = Host::new(Personality::named("bad-handles-noted").unwrap());
    host.set_details(Details::Counted);
    host.begin_delete();
    for _ in 0..1000 {
        host.skip(0, 1).unwrap().unwrap_err();
    }
    host.new_value().unwrap();
    assert_eq!(host.end(), []);
    assert_eq!((host.violation_count(), host.value_count()), (1002, 1));
}

#[test]
fn values_of_an_earlier_event_are_not_written_again() {
    let mut host = Host::new(Personality::default());
    let (_, old) = write_value(&mut host, 3).unwrap();
    host.begin_delete();
    let (_, new) = write_value(&mut host, 5).unwrap();
    assert_eq!(host.write(old, b"old").unwrap(), Ok(3));
    assert_eq!(host.write(new, b"new").unwrap(), Ok(3));
    assert_eq!(host.values().iter().map(|value| &*value.bytes).collect::<Vec<_>>(), [b"xxxxxnew"]);
    assert_eq!(host.end().len(), 3, "a bucket, the new value and its stream; the old ones are not of this event");
    assert_eq!(host.take_values().len(), 1);
    assert_eq!(host.values(), []);
}

#[test]
fn an_interrupt_ends_a_transfer_and_a_repeated_write() {
    type Call = fn(&mut Host, u32, u32) -> CallResult<()>;
    let calls: [(&str, Call); 3] = [
        ("forward", |host, body, source| host.forward(body, source).map(drop)),
        ("splice", |host, body, source| host.splice(body, source, u64::MAX).map(drop)),
        ("write-repeated", |host, body, _| host.write_repeated(body, b'x', u64::MAX).map(drop)),
    ];
    for personality in ["well-behaved", "writes-one-byte", "reads-empty-for-ever", "writes-nothing-for-ever"] {
        for (name, call) in calls {
            let mut host = Host::new(Personality::named(personality).unwrap());
            host.keep_written(0);
            let checks = Arc::new(AtomicU64::new(0));
            host.set_interrupt({
                let checks = Arc::clone(&checks);
                move || checks.fetch_add(1, Ordering::Relaxed) >= 100
            });
            let payload = host.make_payload(Content::repeat("x", u64::MAX));
            let source = host.payload_consume_async(payload).unwrap().unwrap();
            let value = host.new_value().unwrap();
            let body = host.value_write_body(value).unwrap().unwrap();
            let trap = (0..=100).find_map(|_| call(&mut host, body, source).err()).unwrap();
            assert_eq!(trap.to_string(), format!("the host ended `{name}`, which took too long"), "{personality}");
            assert_eq!(checks.load(Ordering::Relaxed), 101);
            assert!(host.trapped());
        }
    }
}

/// A guest that calls any function with any handle and any length, on every host.
#[test]
fn random_calls_stay_within_the_limits() {
    let mut random = 0x1234_5678_9abc_def1_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for (name, personality) in Personality::all() {
        for limits in hostile_guest::LIMITS {
            println!("{name}, {limits:?}");
            let events: Vec<_> = (0..25)
                .map(|event| Event {
                    collected: event % 2 == 0,
                    calls: (0..100).map(|_| call(next())).collect::<Vec<_>>(),
                })
                .collect();
            hostile_guest::run(personality.clone(), limits, events);
        }
    }
}

fn call(random: u64) -> Call {
    let [function, first, second, len, ..] = random.to_le_bytes();
    Call { function, first, second, len: [0, 1, 4096, 1 << 20, u64::MAX][usize::from(len) % 5] }
}
