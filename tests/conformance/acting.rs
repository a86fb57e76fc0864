//! Every function of the draft's outbound half under every personality, natively and as a component in wasmtime.
//!
//! The guest `acting` makes the calls. For a well-behaved host, a table has the guest's report and the content of the store
//! afterwards. On the other hosts, a call may fail, but only with a reason. No handle is leaked or dropped twice, and a call that
//! fails changes nothing, unless the host does half of a batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use acting::{Actor, CALLS};
use inbound_keyvalue::testing::{self, Personality, TestHost, Written};
use kvwatch::Watcher;
use kvwatch::build::Target;
use kvwatch::world::Content;
use kvwatch::world::store::MemoryStore;

const BUCKET: &str = "watched";
const CONTENT: &[u8] = b"the content of the event";

/// The most calls of one event. More calls mean that the event would hang. A host that moves one byte in each call causes the
/// most calls.
const MOST_CALLS: u64 = 500_000;

fn stored() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("json", b"[1,2,3]".to_vec()),
        ("large", b"0123456789".repeat(7000)),
        ("number", b"40".to_vec()),
        ("text", b"some text".to_vec()),
    ]
}

/// For each call: the guest's report on a well-behaved host (for an error, the start of the report), and the changes of the call.
fn expected() -> Vec<(&'static str, &'static str, Changes)> {
    const LARGE: &str = "ok 70000 bytes, 3675000";
    let content = || Some(CONTENT.to_vec());
    let nothing = Changes::new;
    let text = |text: &str| Some(text.as_bytes().to_vec());
    vec![
        ("get", LARGE, nothing()),
        ("get-streamed", LARGE, nothing()),
        ("get-dropped", "ok a payload", nothing()),
        ("get-missing", "error Other: ", nothing()),
        ("get-string", "ok some text", nothing()),
        ("get-json", "ok 3", nothing()),
        ("try-get", "ok some text", nothing()),
        ("try-get-missing", "ok no such key", nothing()),
        ("set", "ok done", Changes::from([("copy", content()), ("copy-2", content())])),
        ("set-from-stream", "ok done", Changes::from([("copy", content())])),
        ("set-bytes", "ok done", Changes::from([("copy", content())])),
        ("set-json", "ok done", Changes::from([("copy", text("[\"a\",\"b\"]"))])),
        ("delete", "ok done", Changes::from([("text", None)])),
        ("delete-missing", "error Other: ", nothing()),
        ("exists", "ok true", nothing()),
        ("exists-missing", "ok false", nothing()),
        ("increment", "ok 42", Changes::from([("number", text("42"))])),
        ("increment-missing", "ok 7", Changes::from([("missing", text("7"))])),
        ("increment-text", "error Other: ", nothing()),
        ("compare-and-swap", "ok true", Changes::from([("number", text("50"))])),
        ("compare-and-swap-other", "ok false", nothing()),
        ("get-many", "ok 9 bytes, 921; 70000 bytes, 3675000; 9 bytes, 921", nothing()),
        ("get-many-missing", "error Other: ", nothing()),
        ("get-many-dropped", "ok payloads", nothing()),
        ("keys", "ok json keys large number text", nothing()),
        ("set-many", "ok done", Changes::from([("copy", content()), ("copy-2", content())])),
        ("delete-many", "ok done", Changes::from([("number", None), ("text", None)])),
    ]
}

/// The new content of each changed key; `None` for a key that is removed.
type Changes = BTreeMap<&'static str, Option<Vec<u8>>>;

/// The content of the store, as a short text.
type Contents = BTreeMap<String, String>;

fn shown(content: &[u8]) -> String {
    if content.len() < 100 {
        return content.escape_ascii().to_string();
    }
    format!("{} bytes, {}", content.len(), content.iter().map(|byte| u64::from(*byte)).sum::<u64>())
}

/// The facts that a host sees of an event. They are equal on every host with the same personality.
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    handled: bool,
    report: String,
    violations: Vec<String>,
    calls: u64,
    stored: Contents,
}

fn natively(personality: &Personality, call: &str) -> Observed {
    let mut host = TestHost::<Actor>::with(personality.clone());
    host.tolerate();
    for (key, content) in stored() {
        host.bucket(BUCKET).insert(key, content);
    }
    let outcome = host.set(call, CONTENT);
    let bucket = host.bucket(BUCKET);
    let keys = bucket.keys().into_iter();
    Observed {
        handled: matches!(outcome.ending, testing::Ending::Handled),
        report: report(&outcome.values),
        violations: outcome.violations.iter().map(ToString::to_string).collect(),
        calls: outcome.calls,
        stored: keys
            .map(|key| (key.clone(), shown(&bucket.get(&key).unwrap_or_default())))
            .filter(|(key, _)| key != call)
            .collect(),
    }
}

fn as_component(target: Target, personality: &Personality, call: &str) -> Observed {
    let store = MemoryStore::new();
    for (key, content) in stored() {
        store.insert(BUCKET, key, content);
    }
    // As in the test host, the change of the event is already in the store.
    store.insert(BUCKET, call, CONTENT.to_vec());
    let session = watcher(target).session().personality(personality.clone());
    let mut session = session.store(Arc::new(store.clone())).event_bucket(BUCKET).build();
    let outcome = session.set(call, &Content::from(CONTENT.to_vec()));
    Observed {
        handled: outcome.trapped().is_none(),
        report: report(outcome.values()),
        violations: outcome.violations().iter().map(ToString::to_string).collect(),
        calls: outcome.calls,
        stored: store
            .entries(BUCKET)
            .into_iter()
            .filter(|(key, _)| key != call)
            .map(|(key, content)| (key, shown(&whole(&content))))
            .collect(),
    }
}

fn whole(content: &Content) -> Vec<u8> {
    content.read(0, content.len()).expect("it is in memory")
}

/// The guest's report, which is the last value that it wrote. A host need not keep all of a long one.
fn report(values: &[Written]) -> String {
    let Some(last) = values.last() else { return String::new() };
    let start = String::from_utf8_lossy(&last.bytes[..last.bytes.len().min(1000)]);
    if last.len > 1000 { format!("{start}, and so on: {} bytes", last.len) } else { start.into_owned() }
}

fn watcher(target: Target) -> Watcher {
    conformance::watcher("tests/guests/acting", target)
}

fn before() -> Contents {
    stored().into_iter().map(|(key, content)| (key.to_owned(), shown(&content))).collect()
}

#[test]
fn the_table_has_every_call() {
    let table: BTreeSet<_> = expected().into_iter().map(|(call, ..)| call).collect();
    assert_eq!(table, CALLS.iter().map(|(name, _)| *name).collect());
}

#[test]
fn a_well_behaved_host_does_what_the_draft_says() {
    let well_behaved = Personality::default();
    for (call, report, changes) in expected() {
        let mut due = before();
        for (key, content) in changes {
            match content {
                Some(content) => due.insert(key.to_owned(), shown(&content)),
                None => due.remove(key),
            };
        }
        let natively = natively(&well_behaved, call);
        if report.starts_with("error") {
            assert!(natively.report.starts_with(report), "{call}: {natively:?}");
        } else {
            assert_eq!(natively.report, report, "{call}");
        }
        assert_eq!(natively.stored, due, "{call}");
        assert_eq!((natively.handled, &*natively.violations), (true, [].as_slice()), "{call}");
        for target in [Target::UnknownUnknown, Target::Wasip1, Target::Wasip2] {
            assert_eq!(as_component(target, &well_behaved, call), natively, "{call} on {target}");
        }
    }
}

#[test]
fn no_personality_makes_a_call_leak_or_change_what_it_does_not_report() {
    let mut faults = Vec::new();
    for (name, personality) in Personality::all() {
        for (call, _) in CALLS {
            let natively = natively(&personality, call);
            let mut fault = |problem: &str| faults.push(format!("{name}, {call}: {problem}\n    {natively:?}"));
            if !natively.violations.is_empty() {
                fault("a rule is broken");
            }
            if natively.calls > MOST_CALLS {
                fault("too many calls");
            }
            let failed = natively.report.starts_with("error ");
            // `set` makes two calls, and a batch may be half done.
            let in_parts = *call == "set" || personality.outbound.half_way;
            if failed && !in_parts && natively.stored != before() {
                fault("the call failed, and has changed the store");
            }
            if natively.handled && !natively.report.starts_with("ok ") && !natively.report.starts_with("error ") {
                fault("no report");
            }
        }
    }
    assert!(faults.is_empty(), "{} events are not clean:\n{}", faults.len(), faults.join("\n"));
}

/// A native test sees the same as a component does.
#[test]
fn both_hosts_see_the_same_under_every_personality() {
    for (name, personality) in Personality::all() {
        for (call, _) in CALLS {
            let component = as_component(Target::UnknownUnknown, &personality, call);
            assert_eq!(component, natively(&personality, call), "{name}, {call}");
        }
    }
}

#[test]
fn a_hundred_megabytes_are_set_from_a_stream_in_less_than_four_mebibytes() {
    let len = 100_000_000;
    for target in [Target::UnknownUnknown, Target::Wasip2] {
        let store = MemoryStore::new();
        let session = watcher(target).session().store(Arc::new(store.clone()));
        let mut session = session.event_bucket(BUCKET).build();
        let outcome = session.set("set-from-stream", &Content::repeat("a line of a backup\n", len));
        // The host keeps no bytes of the report after so large a value.
        let lengths: Vec<_> = outcome.values().iter().map(|value| value.len).collect();
        assert_eq!(lengths, [len, "ok done".len() as u64], "{target}: {:?}", outcome.trapped());
        assert!(outcome.peak_memory < 4 << 20, "{} bytes of guest memory on {target}", outcome.peak_memory);
        assert_eq!(store.get(BUCKET, "copy").expect("it is set").len(), len, "{target}");
    }
}
