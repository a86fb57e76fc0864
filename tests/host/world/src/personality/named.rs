//! The personalities that have a name.

use super::{
    AfterEnd, BadHandle, ConsumedPayload, End, Instance, Outbound, Personality, Repeat, Size, SizeHint, Transfer,
};
use crate::numbering::Numbering;
use crate::store::StoreCall;

/// One deviation from the default [`Personality`].
type Deviation = fn(&mut Personality);

impl Personality {
    /// Every deviation by itself, and the worst ones together. Each has a name. Test a watcher with all of them.
    ///
    /// ```
    /// use inbound_keyvalue_host::Personality;
    ///
    /// for (name, personality) in Personality::all() {
    ///     println!("{name}: {personality:?}");
    /// }
    /// ```
    #[must_use]
    pub fn all() -> Vec<(&'static str, Self)> {
        DEVIATIONS.iter().map(|(name, deviate)| (*name, Self::deviating(deviate))).collect()
    }

    /// The personality that has this name in [`all`](Self::all).
    ///
    /// ```
    /// use inbound_keyvalue_host::{Personality, Size};
    ///
    /// assert_eq!(Personality::named("reads-one-byte").unwrap().read.size, Size::Fixed(1));
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find_map(|(known, personality)| (known == name).then_some(personality))
    }
}

/// The name describes the behaviour of the host.
const DEVIATIONS: &[(&str, Deviation)] = &[
    ("well-behaved", |_| {}),
    ("handles-from-0-per-kind", |p| p.numbering = Numbering { per_kind: true, first: 0, reuse: false }),
    ("handles-reused-from-0", |p| p.numbering = Numbering { per_kind: false, first: 0, reuse: true }),
    ("handles-per-kind-reused-from-0", |p| p.numbering = Numbering { per_kind: true, first: 0, reuse: true }),
    ("handles-up-to-max", |p| p.numbering = Numbering { per_kind: true, first: u32::MAX - 1, reuse: true }),
    ("bad-handles-noted", |p| p.bad_handle = BadHandle::Note),
    ("consumed-payload-stays", |p| p.consumed_payload = ConsumedPayload::Stays),
    ("instance-per-event", |p| p.instance = Instance::PerEvent),
    ("reads-one-byte", |p| p.read.size = Size::Fixed(1)),
    ("reads-random-sizes", |p| p.read.size = Size::Random),
    ("reads-end-alone", |p| p.read.end = End::Alone),
    ("reads-empty-3-times", |p| p.read.empty = Repeat::Times(3)),
    ("reads-empty-for-ever", |p| p.read.empty = Repeat::Forever),
    ("reads-one-byte-too-many", |p| p.read.excess = 1),
    ("reads-far-too-many", |p| p.read.excess = 1024 * 1024),
    ("reads-fail-at-0", |p| p.read.error_at = Some(0)),
    ("reads-fail-at-5", |p| p.read.error_at = Some(5)),
    ("reads-fail-at-70000", |p| p.read.error_at = Some(70_000)),
    ("reads-repeat-after-end", |p| p.read.after_end = AfterEnd::Repeats),
    ("writes-one-byte", |p| p.write.size = Size::Fixed(1)),
    ("writes-random-sizes", |p| p.write.size = Size::Random),
    ("writes-nothing-3-times", |p| p.write.empty = Repeat::Times(3)),
    ("writes-nothing-for-ever", |p| p.write.empty = Repeat::Forever),
    ("writes-claim-too-many", |p| p.write.excess = 1),
    ("writes-fail-at-0", |p| p.write.error_at = Some(0)),
    ("writes-fail-at-5", |p| p.write.error_at = Some(5)),
    ("value-body-refused", |p| p.value_body_error = true),
    ("consume-sync-refused-silently", |p| p.consume_sync_error = Some(String::new())),
    ("consume-async-refused-silently", |p| p.consume_async_error = Some(String::new())),
    ("consume-refused-at-length", |p| {
        let trace = "no more memory, ".repeat(64 * 1024);
        p.consume_sync_error = Some(trace.clone());
        p.consume_async_error = Some(trace);
    }),
    ("everything-refused-in-unicode", |p| {
        let trace = "зажат \u{0}\u{202e}🗝️\u{10ffff}\n".to_owned();
        p.open_bucket_error = Some(trace.clone());
        p.consume_sync_error = Some(trace.clone());
        p.consume_async_error = Some(trace);
        p.value_body_error = true;
    }),
    ("open-bucket-refused-silently", |p| p.open_bucket_error = Some(String::new())),
    ("size-0", |p| p.size = SizeHint::Zero),
    ("size-too-small", |p| p.size = SizeHint::Smaller),
    ("size-too-large", |p| p.size = SizeHint::Larger),
    ("size-max", |p| p.size = SizeHint::Max),
    ("splice-and-forward-trap", |p| p.transfer = Transfer::Traps),
    ("store-refuses-reads", |p| p.outbound = Outbound::refusing(&StoreCall::READS, "the store is being moved")),
    ("store-refuses-writes", |p| p.outbound = Outbound::refusing(&StoreCall::WRITES, "")),
    ("store-refuses-exists", |p| p.outbound = Outbound::refusing(&[StoreCall::Exists], "there is no such key")),
    ("batches-fail-half-way", |p| p.outbound.half_way = true),
    ("hostile", |p| {
        p.numbering = Numbering { per_kind: true, first: 0, reuse: true };
        p.instance = Instance::PerEvent;
        p.read.size = Size::Random;
        p.read.end = End::Alone;
        p.read.empty = Repeat::Times(7);
        p.read.after_end = AfterEnd::Repeats;
        p.write.size = Size::Random;
        p.write.empty = Repeat::Times(7);
        p.size = SizeHint::Max;
        p.transfer = Transfer::Traps;
    }),
];
