//! How a host may deviate from a well-behaved one. Each behaviour has a file with its settings and what they do.

mod flow;
mod handles;
mod outbound;
mod reading;
mod size_hint;
mod writing;

use serde::{Deserialize, Serialize};

use crate::store::StoreCall;

pub(crate) use flow::Random;
pub use flow::{Repeat, Size};
pub use handles::{BadHandle, ConsumedPayload, Instance, Numbering};
pub use outbound::Outbound;
pub use reading::{AfterEnd, End, Reading};
pub use size_hint::SizeHint;
pub use writing::Writing;

/// How a host deviates from a well-behaved one.
///
/// The default is the well-behaved host. Every field is a deviation that the draft allows, or that a host of its time had. Change
/// the fields that you want to test. A personality is data: it can be read from JSON, where absent fields have their defaults.
///
/// Every guest must handle these deviations without a failure:
///
/// | field | deviation |
/// |---|---|
/// | `numbering`, `consumed_payload`, `instance` | all |
/// | `bad_handle` | all: a correct guest never calls with a bad handle |
/// | `read`, `write` | `size`, `end`, `after_end`, `most`, and `empty` a few times |
/// | `size` | all: the size of a payload is a hint |
///
/// These deviations may fail a guest. It must report the failure, leak nothing, and be ready for the next event:
///
/// | field | deviation |
/// |---|---|
/// | `read`, `write` | `excess`, `error_at`, and `empty` for ever |
/// | `transfer` | `Traps`, for a guest that calls `splice` or `forward` |
/// | `open_bucket_error`, `consume_sync_error`, `consume_async_error`, `value_body_error` | all, for a guest that makes the call |
/// | `outbound` | all, for a guest that acts on the store |
///
/// ```
/// use inbound_keyvalue_host::{Personality, Repeat, Size};
///
/// let personality = Personality::deviating(|host| {
///     host.read.size = Size::Fixed(1);
///     host.read.empty = Repeat::Times(3);
/// });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Personality {
    /// How handles are numbered.
    pub numbering: Numbering,
    /// What becomes of a call with a handle that is not there: unknown, dropped before, or of another kind.
    pub bad_handle: BadHandle,
    /// What becomes of a payload's handle when it is consumed.
    pub consumed_payload: ConsumedPayload,
    /// How long an instance lasts.
    pub instance: Instance,
    /// How input streams behave.
    pub read: Reading,
    /// How output streams behave.
    pub write: Writing,
    /// What `size` says of a payload.
    pub size: SizeHint,
    /// Whether `splice` and `forward` work.
    pub transfer: Transfer,
    /// `open-bucket` fails, with this trace.
    pub open_bucket_error: Option<String>,
    /// `payload-consume-sync` fails, with this trace.
    pub consume_sync_error: Option<String>,
    /// `payload-consume-async` fails, with this trace.
    pub consume_async_error: Option<String>,
    /// `value-write-body` fails.
    pub value_body_error: bool,
    /// How the store behind the host answers.
    pub outbound: Outbound,
    /// Where random sizes start.
    pub seed: u64,
}

/// Whether `splice` and `forward` work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Transfer {
    /// They do.
    #[default]
    Works,
    /// They trap, as in most hosts of the draft's time.
    Traps,
}

/// One deviation from the default [`Personality`].
type Deviation = fn(&mut Personality);

impl Personality {
    /// The default personality with changes.
    ///
    /// ```
    /// use inbound_keyvalue_host::{Instance, Personality};
    ///
    /// let forgetful = Personality::deviating(|host| host.instance = Instance::PerEvent);
    /// assert_eq!(forgetful.instance, Instance::PerEvent);
    /// ```
    #[must_use]
    pub fn deviating(deviate: impl FnOnce(&mut Self)) -> Self {
        let mut personality = Self::default();
        deviate(&mut personality);
        personality
    }

    /// Every deviation by itself, and the worst ones together, each with its name. Test a watcher with all of them.
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

    /// The personality that [`all`](Self::all) gives this name.
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

/// The name says what the host does.
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
