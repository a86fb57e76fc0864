//! Runs every watcher of this repository in a second host, which shares no code with `kvwatch` and the test host. jco transpiles
//! its component, Node runs it, and the world's imports are written in JavaScript. The behaviour of a watcher must not depend on
//! wasmtime.

mod component;
mod node;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use component::{repository, scratch};
use exercise::{Exercise, Exerciser, Seen};
use flate2::read::GzDecoder;
use harness::test;
use inbound_keyvalue::testing::{
    Change, Content, End, Ending, Event, Numbering, Personality, Size, TestHost, Transfer,
};
use node::{Node, Outcome};
use serde_json::json;

/// The examples. Each has the number of its recorded events, and the events that must trap, counted from 0.
const EXAMPLES: &[(&str, usize, &[usize])] = &[
    ("audit-log", 5, &[]),
    ("hand-written", 3, &[]),
    // One order is bad on purpose.
    ("json-schema", 5, &[2]),
    ("large-values", 4, &[]),
    ("quarantine", 6, &[]),
    // One amount is bad on purpose.
    ("running-totals", 6, &[2]),
    ("secondary-index", 7, &[]),
    // This watcher only reports a key that it cannot use and continues, because a trap would lose its state.
    ("session-expiry", 7, &[]),
    ("transform", 5, &[]),
    // Without HTTP on this target, each event fails with a message about it.
    ("webhook", 3, &[0, 1, 2]),
];

/// The message of the refusing host. It has many kinds of characters, because it passes two encodings of strings.
const REFUSAL: &str = "зажат \u{202e}🗝️\u{10ffff}\n";

fn main() -> ExitCode {
    harness::run([
        test!(every_example_is_known_here),
        test!(the_host_notices_what_a_watcher_does_wrong).needs(harness::node),
        test!(every_example_handles_its_events).needs(harness::node),
        test!(transform_writes_what_it_was_given).needs(harness::node),
        test!(watchers_that_act_change_the_store).needs(harness::node),
        test!(state_lasts_until_a_trap).needs(harness::node),
        test!(a_busy_instance_traps_when_it_is_entered).needs(harness::node),
        test!(the_test_guest_reports_the_same_in_the_native_host).needs(harness::node),
        test!(the_test_guest_reports_the_same_where_it_is_refused).needs(harness::node),
    ])
}

/// Reports progress past the test harness. The harness shows the output of a test only if the test fails.
fn say(what: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "second-host: {what}");
}

/// Runs an example with its recorded events.
fn run(node: &Node, example: &str) -> Vec<Outcome> {
    let folder = repository().join("examples").join(example);
    node.run(&component::build(&folder), &folder.join("events.jsonl"), None)
}

fn the_host_notices_what_a_watcher_does_wrong() {
    Node::get().run_tests();
}

fn every_example_is_known_here() {
    let examples = repository().join("examples");
    let mut found: Vec<_> = fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    found.sort();
    let known: Vec<_> = EXAMPLES.iter().map(|(example, ..)| *example).collect();
    assert_eq!(found, known, "`EXAMPLES` says what is to become of each example's events");
}

fn every_example_handles_its_events() {
    let node = Node::get();
    for (example, events, traps) in EXAMPLES {
        let outcomes = run(node, example);
        assert_eq!(outcomes.len(), *events, "{example}");
        for (event, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.violations, [""; 0], "{example}, event {event}");
            assert_eq!(outcome.trap.is_some(), traps.contains(&event), "{example}, event {event}: {outcome:?}");
            assert!(outcome.calls > 0, "{example}, event {event}: not even the bucket was dropped");
        }
    }
}

fn transform_writes_what_it_was_given() {
    let node = Node::get();
    let recorded = fs::read_to_string(repository().join("examples/transform/events.jsonl")).unwrap();
    let outcomes = run(node, "transform");
    for (line, outcome) in recorded.lines().zip(outcomes) {
        let event: Event = line.parse().unwrap();
        let written = outcome.values();
        match (event.change, event.key.split('/').next()) {
            (Change::Set(content), Some("logs")) => assert_eq!([decompress(&written[0])], [bytes(&content)]),
            (Change::Set(content), Some("mirror")) => assert_eq!(written, [bytes(&content)]),
            _ => assert!(written.is_empty(), "{line}"),
        }
    }
}

/// The content of the other host's store after all recorded events of an example, without the events' own keys.
fn watchers_that_act_change_the_store() {
    let node = Node::get();
    for (example, due) in [
        ("running-totals", &[("totals/oslo", "1750")][..]),
        (
            "secondary-index",
            &[
                ("by-email/ada=40example=2Ecom/1", "1"),
                ("by-email/team=40example=2Eorg/2", "2"),
                ("by-email/team=40example=2Eorg/3", "3"),
                ("indexed-as/1", "ada@example.com"),
                ("indexed-as/2", "team@example.org"),
                ("indexed-as/3", "team@example.org"),
            ],
        ),
        (
            "quarantine",
            &[
                ("quarantine-reason/orders/9", "expected ident at line 1 column 2"),
                ("quarantine/orders/9", "two relays, please"),
            ],
        ),
    ] {
        let mut store = BTreeMap::new();
        for outcome in run(node, example) {
            for (bucket, key, content) in outcome.changes() {
                assert_eq!(bucket, "watched", "{example}");
                match content {
                    Some(content) => _ = store.insert(key, String::from_utf8(content).unwrap()),
                    None => _ = store.remove(&key),
                }
            }
        }
        let due: BTreeMap<_, _> = due.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        assert_eq!(store, due, "{example}");
    }
}

/// The test guest counts events, and reports how many there were.
/// Two events at the same time would have the watcher as `&mut` twice.
fn a_busy_instance_traps_when_it_is_entered() {
    let module = component::module(&repository().join("examples/audit-log"));
    let ends = Node::get().reenter(&module);
    assert_eq!(ends, "1 calls, handled\n1 calls, then unreachable\n");
}

fn state_lasts_until_a_trap() {
    let node = Node::get();
    let [set, fail] = ["ignore", "fail"].map(|key| Event::set(key, "value"));
    let outcomes = exercise(node, "state", &[set.clone(), set, count(), fail, count()], None);
    let reports: Vec<_> = outcomes.iter().map(Outcome::report).collect();
    let nothing = format!("ok {}", Seen::NOTHING);
    let expected = [Some(&*nothing), Some(&*nothing), Some("ok 3 events"), None, Some("ok 1 events")];
    assert_eq!(reports.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
}

fn the_test_guest_reports_the_same_in_the_native_host() {
    let node = Node::get();
    let mut native = TestHost::<Exerciser>::with(Personality::deviating(awkward));
    compare(&mut native, &exercise(node, "exercise", &events(), None));
}

fn the_test_guest_reports_the_same_where_it_is_refused() {
    let node = Node::get();
    let mut native = TestHost::<Exerciser>::with(Personality::deviating(|host| {
        awkward(host);
        host.open_bucket_error = Some(REFUSAL.to_owned());
        host.consume_sync_error = Some(REFUSAL.to_owned());
        host.consume_async_error = Some(REFUSAL.to_owned());
    }));
    let outcomes = exercise(node, "refused", &events(), Some(REFUSAL));
    assert!(outcomes.iter().any(|outcome| outcome.report().is_some_and(|report| report.contains(REFUSAL))));
    compare(&mut native, &outcomes);
}

/// Applies the settings of `host.mjs` to the native host.
fn awkward(host: &mut Personality) {
    host.numbering = Numbering { per_kind: true, first: 0, reuse: false };
    host.read.size = Size::Random;
    host.read.end = End::Alone;
    host.write.size = Size::Random;
    host.transfer = Transfer::Traps;
}

/// Every exercise with payloads of all kinds. After each comes a count of the events since the last trap.
fn events() -> Vec<Event> {
    let text = |len| Content::repeat("a line of text, and then another\n", len);
    let contents = [
        text(0),
        text(1),
        Content::from("\"value\""),
        text(5_000),
        text(70_001),
        Content::from(&b"not text \xff\xfe"[..]),
    ];
    let exercises = Exercise::ALL.iter().map(|(name, _)| name);
    exercises
        .flat_map(|name| contents.iter().flat_map(|content| [Event::set(*name, content.clone()), count()]))
        .collect()
}

/// The test guest's answer with the number of events that it has seen.
fn count() -> Event {
    Event::delete("count")
}

/// Runs the test guest. `name` distinguishes the events from those of other tests, which run at the same time.
fn exercise(node: &Node, name: &str, events: &[Event], refusal: Option<&str>) -> Vec<Outcome> {
    let file = record(name, events);
    let outcomes = node.run(&component::build(&repository().join("tests/guests/exercise")), &file, refusal);
    assert_eq!(outcomes.len(), events.len());
    outcomes
}

/// Writes events as `kvwatch` records them.
fn record(name: &str, events: &[Event]) -> PathBuf {
    let lines = events.iter().map(|event| match &event.change {
        Change::Set(content) => json!({ "op": "set", "key": event.key, "base64": BASE64.encode(bytes(content)) }),
        Change::Delete => json!({ "op": "delete", "key": event.key }),
    });
    let lines: Vec<_> = lines.map(|line| line.to_string()).collect();
    let file = scratch().join(format!("{name}.jsonl"));
    fs::write(&file, lines.join("\n")).unwrap();
    file
}

/// Delivers the same events to the native host, and compares everything that both hosts can see, except for the number of calls,
/// which depends on the random sizes of each host.
fn compare(native: &mut TestHost<Exerciser>, outcomes: &[Outcome]) {
    native.tolerate();
    for (event, outcome) in events().into_iter().zip(outcomes) {
        let key = event.key;
        let expected = match event.change {
            Change::Set(content) => native.set(&key, content),
            Change::Delete => native.delete(&key),
        };
        assert_eq!(outcome.trap.is_some(), matches!(expected.ending, Ending::Trapped(_)), "{key}: {outcome:?}");
        assert_eq!(outcome.violations, [""; 0], "{key}");
        assert_eq!(expected.violations, [], "{key}");
        // The bytes that were written before a trap depend on the sizes too.
        if outcome.trap.is_none() {
            let written: Vec<_> = expected.values.into_iter().map(|value| value.bytes).collect();
            assert_eq!(outcome.report(), Outcome::report_in(&written), "{key}");
            assert!(outcome.values() == written, "{key}: its values differ");
        }
    }
}

fn bytes(content: &Content) -> Vec<u8> {
    content.read(0, content.len()).unwrap()
}

fn decompress(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
    bytes
}
