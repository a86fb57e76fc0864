//! Property tests for any payload, any host and any author.

use inbound_keyvalue::MAX_ATTEMPTS;
use inbound_keyvalue::testing::{AfterEnd, ConsumedPayload, End, Numbering, Personality, Repeat, Size, SizeHint};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::acting::{self, Acting};
use crate::author::{self, Finale, Reading, Writing};

fn personality() -> impl Strategy<Value = Personality> {
    let size = || prop_oneof![Just(Size::Full), (1_u64..9).prop_map(Size::Fixed), Just(Size::Random)];
    let repeat = || {
        prop_oneof![
            3 => Just(Repeat::Times(0)),
            3 => (1..MAX_ATTEMPTS).prop_map(Repeat::Times),
            1 => (MAX_ATTEMPTS..100).prop_map(Repeat::Times),
            1 => Just(Repeat::Forever),
        ]
    };
    let excess = || prop_oneof![9 => Just(0_u64), 1 => 1_u64..2000];
    let error_at = || proptest::option::weighted(0.2, 0_u64..3000);
    let numbering = (any::<bool>(), any::<u32>(), any::<bool>()).prop_map(|(per_kind, first, reuse)| Numbering {
        per_kind,
        first,
        reuse,
    });
    let reading = (size(), repeat(), excess(), error_at(), any::<bool>(), any::<bool>());
    let writing = (size(), repeat(), excess(), error_at());
    let refusals = (
        proptest::option::weighted(0.1, ".*"),
        proptest::option::weighted(0.1, ".*"),
        proptest::bool::weighted(0.1),
        any::<bool>(),
    );
    let hint = prop_oneof![
        Just(SizeHint::True),
        Just(SizeHint::Zero),
        Just(SizeHint::Smaller),
        Just(SizeHint::Larger),
        Just(SizeHint::Max)
    ];
    (numbering, reading, writing, refusals, hint, any::<u64>()).prop_map(
        |(numbering, reading, writing, refusals, hint, seed)| {
            let mut p = Personality::default();
            p.numbering = numbering;
            (p.read.size, p.read.empty, p.read.excess, p.read.error_at) = (reading.0, reading.1, reading.2, reading.3);
            p.read.end = if reading.4 { End::Alone } else { End::WithData };
            p.read.after_end = if reading.5 { AfterEnd::Repeats } else { AfterEnd::End };
            (p.write.size, p.write.empty, p.write.excess, p.write.error_at) = writing;
            (p.consume_sync_error, p.consume_async_error, p.value_body_error) = (refusals.0, refusals.1, refusals.2);
            p.consumed_payload = if refusals.3 { ConsumedPayload::Stays } else { ConsumedPayload::Gone };
            p.size = hint;
            p.seed = seed;
            p
        },
    )
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let text = vec(prop_oneof![8 => b'a'..=b'z', 1 => Just(b'\n')], 0..3000);
    prop_oneof![text, vec(any::<u8>(), 0..300), vec(any::<u8>(), 0..3)]
}

fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let len = || prop_oneof![0_usize..20, 0_usize..5000];
    let reading = prop_oneof![
        len().prop_map(Reading::Read),
        len().prop_map(Reading::ReadExact),
        len().prop_map(Reading::FillAndConsume),
        Just(Reading::Line),
        Just(Reading::Chunk),
        (0_usize..4).prop_map(Reading::Chunks),
        len().prop_map(|len| Reading::Skip(len as u64)),
        len().prop_map(Reading::ToEnd),
        len().prop_map(Reading::Limit),
        Just(Reading::IntoStream),
    ];
    vec(reading, 0..12)
}

fn finale() -> impl Strategy<Value = Finale> {
    prop_oneof![
        2 => Just(Finale::ToEnd),
        1 => Just(Finale::Chunks),
        1 => Just(Finale::IntoChunks),
        1 => Just(Finale::Bytes),
        1 => Just(Finale::Vec),
        1 => Just(Finale::Text),
        2 => prop_oneof![0_usize..10, 0_usize..4000].prop_map(Finale::BytesLimited),
    ]
}

fn writings() -> impl Strategy<Value = Vec<Writing>> {
    let writing = prop_oneof![
        content().prop_map(Writing::Write),
        content().prop_map(Writing::WriteAll),
        (any::<u8>(), 0_u64..5000).prop_map(|(byte, len)| Writing::Repeated(byte, len)),
        Just(Writing::Flush),
        (content(), 0_u64..5000, any::<bool>()).prop_map(|(content, len, held)| Writing::Splice(content, len, held)),
        (content(), any::<bool>()).prop_map(|(content, held)| Writing::Forward(content, held)),
    ];
    vec(writing, 0..12)
}

fn actings() -> impl Strategy<Value = Vec<Acting>> {
    let key = || 0_u8..4;
    let content = || prop_oneof![(0_u64..20).prop_map(|number| number.to_string().into_bytes()), content()];
    let acting = prop_oneof![
        key().prop_map(Acting::Get),
        key().prop_map(Acting::GetStreamed),
        key().prop_map(Acting::GetDropped),
        key().prop_map(Acting::TryGet),
        (key(), content()).prop_map(|(key, content)| Acting::SetBytes(key, content)),
        (key(), key(), content()).prop_map(|(one, two, content)| Acting::SetTwice(one, two, content)),
        key().prop_map(Acting::SetEmpty),
        key().prop_map(Acting::Delete),
        key().prop_map(Acting::Exists),
        (key(), prop_oneof![0_u64..5, any::<u64>()]).prop_map(|(key, delta)| Acting::Increment(key, delta)),
        (key(), 0_u64..20, 0_u64..20).prop_map(|(key, old, new)| Acting::CompareAndSwap(key, old, new)),
        vec(key(), 0..4).prop_map(Acting::GetMany),
        Just(Acting::Keys),
        vec((key(), content()), 0..4).prop_map(Acting::SetMany),
        vec(key(), 0..4).prop_map(Acting::DeleteMany),
    ];
    vec(acting, 0..20)
}

/// Any personality, and a store that refuses some calls or fails half-way through batches.
fn with_store() -> impl Strategy<Value = Personality> {
    let named: Vec<_> = Personality::all().into_iter().map(|(_, personality)| personality).collect();
    let calls =
        ["get", "set", "delete", "exists", "increment", "compare-and-swap", "get-many", "set-many", "delete-many"];
    let refused = vec(proptest::sample::select(calls.to_vec()), 0..3);
    let any_host = (personality(), refused, any::<bool>()).prop_map(|(mut personality, refused, half_way)| {
        personality.outbound.refuses =
            refused.into_iter().map(|call| (call.to_owned(), "refused".to_owned())).collect();
        personality.outbound.half_way = half_way;
        personality
    });
    prop_oneof![1 => Just(Personality::default()), 2 => proptest::sample::select(named), 2 => any_host]
}

// As many cases as `PROPTEST_CASES` says, or 256.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_gives_the_whole_payload_in_order_once(
        personality in personality(),
        content in content(),
        readings in readings(),
        finale in finale(),
    ) {
        author::reads_in_order_once(&personality, &content, &readings, &finale).map_err(TestCaseError::fail)?;
    }

    /// Without deviations that end a stream early, so that most of a script is run.
    #[test]
    fn a_host_without_failures_gives_all(
        personality in personality(),
        content in content(),
        readings in readings(),
        finale in finale(),
    ) {
        let mut personality = personality;
        (personality.read.excess, personality.read.error_at) = (0, None);
        (personality.consume_sync_error, personality.consume_async_error) = (None, None);
        if personality.read.empty == Repeat::Forever {
            personality.read.empty = Repeat::Times(MAX_ATTEMPTS - 1);
        }
        author::reads_in_order_once(&personality, &content, &readings, &finale).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn writing_gives_the_host_what_was_written(personality in personality(), writings in writings()) {
        author::writes_what_was_written(&personality, &writings).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn acting_on_the_store_does_what_a_model_does(personality in with_store(), actings in actings()) {
        acting::acts_as_the_draft_says(&personality, &actings).map_err(TestCaseError::fail)?;
    }
}
