//! A guest that calls any function of the host with any handle and any length. `limits.rs` makes random calls, and the fuzz target
//! `host` searches for calls.

use inbound_keyvalue_host::{CallResult, Content, Details, Host, HostLimits, Personality};

pub(crate) const LIMITS: [(u64, usize); 2] = [(3 << 20, 100), (4096, 7)];

/// One call. Every number is a valid choice, because it is taken modulo the number of choices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) function: u8,
    pub(crate) first: u8,
    pub(crate) second: u8,
    pub(crate) len: u64,
}

/// An event: whether the host collects its details, and the calls that the guest makes.
pub(crate) struct Event<Calls> {
    pub(crate) collected: bool,
    pub(crate) calls: Calls,
}

/// Runs the events on a host, and checks after each call that the host keeps its limits.
///
/// # Panics
///
/// If a check fails.
pub(crate) fn run<Calls: IntoIterator<Item = Call>>(
    personality: Personality,
    (bytes, handles): (u64, usize),
    events: impl IntoIterator<Item = Event<Calls>>,
) {
    let mut host = Host::new(personality);
    let mut limits = HostLimits::default();
    (limits.bytes, limits.handles) = (bytes, handles);
    host.set_limits(limits);
    // A loop of the host that would never end is interrupted here, as it is at the deadline of an event.
    let mut checks = 0_u32;
    host.set_interrupt(move || {
        checks += 1;
        checks % 1000 == 0
    });
    for event in events {
        host.set_details(if event.collected { Details::Collected } else { Details::Counted });
        let given = host.begin_set(&Content::repeat("text", 100_000));
        let mut known = vec![0, u32::MAX, given.bucket, given.payload];
        for call in event.calls {
            // A guest stops at its first trap. This guest continues, to reach more states.
            known.extend(call.make(&mut host, &known).ok().flatten());
            assert!(host.kept_bytes() <= bytes, "{call:?}: {} bytes", host.kept_bytes());
            assert!(host.live() <= handles, "{call:?}: {} handles", host.live());
        }
        let violations = host.end();
        assert!(violations.len() <= 64 && violations.len() as u64 <= host.violation_count());
        assert_eq!((host.live(), host.kept_bytes()), (0, 0));
        let collected: usize = host.values().iter().map(|value| value.bytes.capacity()).sum();
        assert!(collected as u64 <= bytes, "{collected} bytes");
        assert!(event.collected || (host.values().is_empty() && violations.is_empty()));
    }
}

impl Call {
    /// Makes the call. Returns the handle that the host returned.
    fn make(self, host: &mut Host, known: &[u32]) -> CallResult<Option<u32>> {
        let [first, second] = [self.first, self.second].map(|choice| known[usize::from(choice) % known.len()]);
        let len = self.len;
        let either = |result: Result<u32, u32>| Some(result.unwrap_or_else(|error| error));
        Ok(match self.function % 24 {
            0 => host.read(first, len).map(|_| None)?,
            1 => host.skip(first, len).map(|_| None)?,
            2 => {
                let len = usize::try_from(len.min(1 << 20)).unwrap_or(usize::MAX);
                host.write(first, &vec![b'w'; len]).map(|_| None)?
            }
            3 => host.write_repeated(first, b'r', len).map(|_| None)?,
            4 => host.splice(first, second, len).map(|_| None)?,
            5 => host.forward(first, second).map(|_| None)?,
            6 => host.drop_input_stream(first).map(|()| None)?,
            7 => host.drop_output_stream(first).map(|()| None)?,
            8 => host.drop_value(first).map(|()| None)?,
            9 => host.drop_error(first).map(|()| None)?,
            10 => Some(host.new_value()?),
            11 => host.value_write_body(first)?.ok(),
            12 => either(host.payload_consume_async(first)?),
            13 => host.payload_consume_sync(first)?.err(),
            14 => either(host.open_bucket("any")?),
            15 => either(host.get(first, "key")?),
            16 => host.set(first, "key", second)?.err(),
            17 => host.delete(first, "key")?.err(),
            18 => host.exists(first, "key")?.err(),
            19 => host.increment(first, "number", len)?.err(),
            20 => host.compare_and_swap(first, "number", 0, len)?.err(),
            21 => host.get_many(first, &["key"])?.map_or_else(Some, |got| got.first().copied()),
            22 => host.set_many(first, &["key"], &[("key", second)])?.err(),
            _ => Some(host.new_error()?),
        })
    }
}
