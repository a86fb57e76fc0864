//! Tests the promises of the module `testing`: each handle goes to the host that made it, an error names its file, and the list
//! of names for wasm is complete.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::io::{Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use inbound_keyvalue::testing::{
    ConsumedPayload, Ending, Event, Numbering, Personality, Problem, ReplayCause, TestHost, Transfer,
};
use inbound_keyvalue::{Bucket, Failure, HandleWatch, HandlerResult, Key, Payload, Value};

use crate::{assert_clean, deviating, host};

/// Numberings with which handles of two hosts, or of two kinds, have equal numbers.
const NUMBERINGS: [Numbering; 4] = [
    Numbering { per_kind: false, first: 3, reuse: false },
    Numbering { per_kind: true, first: 0, reuse: false },
    Numbering { per_kind: false, first: 0, reuse: true },
    Numbering { per_kind: true, first: u32::MAX, reuse: true },
];

#[test]
fn each_handle_goes_to_the_host_that_made_it() {
    for numbering in NUMBERINGS {
        let mut first = deviating(|p| p.numbering = numbering);
        let mut second = deviating(|p| p.numbering = numbering);
        let (a, b) = (first.payload("of the first"), second.payload("of the second"));
        assert_eq!(a.as_raw(), b.as_raw(), "a host numbers its handles as its personality says");
        let (c, mut d) = (first.payload("streamed"), second.payload("from the second"));
        let (bucket, kept) = (first.event_bucket(), second.event_bucket());
        assert_eq!(a.into_bytes().unwrap(), "of the first");
        assert_eq!(b.into_bytes().unwrap(), "of the second");
        let mut stream = c.into_stream().unwrap();
        let mut text = [0; 4];
        d.read_exact(&mut text).unwrap();
        assert_eq!((&text, stream.chunk().unwrap().unwrap().as_ref()), (b"from", b"streamed".as_slice()));
        drop((stream, bucket));
        assert_clean(&mut first);
        drop((d, kept));
        assert_clean(&mut second);
    }
}

#[test]
fn errors_and_values_stay_with_their_host() {
    let refusing = |text: &str| {
        let text = text.to_owned();
        deviating(|p| (p.consume_sync_error, p.consume_async_error) = (Some(text.clone()), Some(text)))
    };
    let (mut first, mut second) = (refusing("no from the first"), refusing("no from the second"));
    let (a, b) = (first.payload("a"), second.payload("b"));
    assert!(b.into_bytes().unwrap_err().to_string().ends_with("no from the second"));
    assert!(a.into_stream().unwrap_err().to_string().ends_with("no from the first"));
    // Outside events, the host that was made last makes values and buckets.
    let mut value = Value::new();
    value.write_all(b"text").unwrap();
    drop((value, Bucket::open("any").unwrap()));
    assert_eq!((first.host().values().len(), second.host().values()[0].bytes.as_slice()), (0, b"text".as_slice()));
    assert_clean(&mut first);
    assert_clean(&mut second);
    drop(second);
    drop(Value::new());
    assert_eq!(first.host().values().len(), 1, "then the one that is left");
    assert_clean(&mut first);
}

#[test]
fn inside_an_event_calls_go_to_the_host_of_the_event() {
    struct Writer;

    impl HandleWatch for Writer {
        fn on_set(&mut self, bucket: Bucket, key: Key<'_>, payload: Payload) -> HandlerResult {
            let _open = Bucket::open("any")?;
            let mut value = Value::new();
            value.write_all(&payload.into_bytes()?)?;
            if key == "nested" {
                let mut inner = TestHost::with_watcher(Personality::default(), || Writer);
                assert_eq!(inner.set("inner", "inner").values[0].bytes, b"inner, and more");
            }
            value.write_all(b", and more")?;
            #[allow(unsafe_code, reason = "a raw handle goes to the host of the event")]
            // SAFETY: `into_raw` has just given up the handle.
            drop(unsafe { Bucket::from_raw(bucket.into_raw()) });
            Ok(())
        }
    }

    let mut first = TestHost::with_watcher(Personality::default(), || Writer);
    let mut last = host();
    for key in ["plain", "nested"] {
        let outcome = first.set(key, "text");
        outcome.expect_handled();
        assert_eq!(outcome.values[0].bytes, b"text, and more");
    }
    assert_eq!(last.host().calls(), 0);
    assert_clean(&mut last);
}

#[test]
fn a_watcher_may_use_what_another_host_gave() {
    struct Holder(Option<Payload>);

    impl HandleWatch for Holder {
        fn on_delete(&mut self, _bucket: Bucket, key: Key<'_>) -> HandlerResult {
            let payload = self.0.take();
            if key == "panic" {
                let _held = payload;
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            assert_eq!(payload.unwrap().into_bytes()?, "from elsewhere");
            Ok(())
        }
    }

    let mut other = host();
    for key in ["read", "panic"] {
        let mut payload = Some(other.payload("from elsewhere"));
        let mut host = TestHost::with_watcher(Personality::default(), move || Holder(payload.take()));
        assert_eq!(host.delete(key).is_handled(), key == "read");
        assert_clean(&mut other);
        assert_eq!(other.payload("still works").into_bytes().unwrap(), "still works");
    }
}

#[test]
fn streams_of_two_hosts_do_not_mix() {
    let works = || deviating(|p| p.transfer = Transfer::Works);
    let (mut first, second) = (works(), works());
    let mut source = first.payload("text").into_stream().unwrap();
    let mut value = Value::new();
    let mixed = catch_unwind(AssertUnwindSafe(|| value.body().unwrap().splice(&mut source, 9)));
    let message = *mixed.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(message, "the host trapped: `splice` was called with the handles of two test hosts");
    drop((source, value));
    assert_clean(&mut first);
    drop(second);
}

#[test]
fn o9_a_drop_is_harmless_whatever_became_of_its_host() {
    let (mut first, mut second) = (host(), host());
    let gone = (first.payload("text"), first.event_bucket());
    let kept = second.payload("text");
    drop(first);
    drop(gone);
    assert_eq!(kept.into_bytes().unwrap(), "text", "the other host has lost nothing");
    assert_clean(&mut second);

    let forgotten = second.payload("text");
    assert_eq!(second.settle().len(), 1, "a payload that the test still holds");
    drop(forgotten);
    assert_eq!(second.settle().len(), 1, "a drop of what is no longer there");

    thread_local! {
        static LAST: RefCell<Option<Payload>> = const { RefCell::new(None) };
    }
    std::thread::spawn(|| {
        let mut host = host();
        LAST.set(Some(host.payload("dropped when the thread ends")));
        std::mem::forget(host);
    })
    .join()
    .unwrap();
}

#[test]
fn what_a_test_made_before_an_event_outlives_the_event() {
    for numbering in NUMBERINGS {
        for consumed in [ConsumedPayload::Gone, ConsumedPayload::Stays] {
            let mut host = deviating(|p| (p.numbering, p.consumed_payload) = (numbering, consumed));
            let (payload, bucket) = (host.payload("before"), host.event_bucket());
            let mut stream = host.payload("streamed").into_stream().unwrap();
            let mut value = Value::new();
            for _ in 0..3 {
                host.set("key", "value").expect_handled();
                host.delete("key").expect_handled();
            }
            value.write_all(b"unrecorded").unwrap();
            assert_eq!(payload.into_bytes().unwrap(), "before");
            assert_eq!(stream.chunk().unwrap().unwrap(), "streamed");
            drop((stream, value, bucket));
            assert_clean(&mut host);
            let _leaked = host.payload("leaked").into_raw();
            host.delete("key").expect_handled();
            assert_eq!(host.settle().len(), 1, "what the test leaks is told when it settles");
        }
    }
}

#[test]
fn an_event_that_traps_leaves_what_the_test_holds() {
    let mut host = TestHost::<exercise::Exerciser>::new();
    let payload = host.payload("before");
    assert!(!host.delete("fail").is_handled());
    assert_eq!(payload.into_bytes().unwrap(), "before");
    assert_clean(&mut host);
}

#[test]
fn a_bucket_for_a_test_keeps_the_record_of_calls_and_values() {
    let mut host = host();
    let mut value = Value::new();
    value.write_all(b"text").unwrap();
    let _bucket = host.event_bucket();
    assert_eq!((host.host().values()[0].bytes.as_slice(), host.host().calls()), (b"text".as_slice(), 3));
}

#[test]
fn replay_names_the_file_and_the_line() {
    let mut host = host();
    let error = host.replay("nowhere.jsonl").unwrap_err();
    assert!(matches!(&error.cause, ReplayCause::Open(error) if error.kind() == std::io::ErrorKind::NotFound));
    assert_eq!(error.path.to_str(), Some("nowhere.jsonl"));
    let text = error.to_string();
    assert!(text.starts_with("cannot read events from nowhere.jsonl: ") && !text.contains("line"), "{text}");

    let path = std::env::temp_dir().join(format!("inbound-keyvalue-{}-\u{1b}.jsonl", std::process::id()));
    std::fs::write(&path, "{\"op\":\"delete\",\"key\":\"a\"}\nnonsense\n").unwrap();
    let error = host.replay(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    let ReplayCause::Line(line) = &error.cause else { panic!("{error}") };
    assert!(line.line == 2 && matches!(line.problem, Problem::Event(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("\\u{1b}.jsonl\": line 2: ") && !text.contains('\u{1b}'), "{text}");
    assert_eq!(host.host().calls(), 0, "no event was given");
}

#[test]
fn a_watcher_may_borrow_from_the_test() {
    struct Recorder<'a> {
        seen: &'a RefCell<Vec<String>>,
        made: &'a Cell<u32>,
    }

    impl HandleWatch for Recorder<'_> {
        fn on_delete(&mut self, _bucket: Bucket, key: Key<'_>) -> HandlerResult {
            self.seen.borrow_mut().push(format!("{key} {}", self.made.get()));
            Ok(())
        }
    }

    let (seen, made) = (RefCell::default(), Cell::new(0));
    let mut host = TestHost::with_watcher(Personality::default(), || {
        made.set(made.get() + 1);
        Recorder { seen: &seen, made: &made }
    });
    host.delete("a").expect_handled();
    host.fresh_instance();
    host.event(&Event::delete("b")).expect_handled();
    drop(host);
    assert_eq!(seen.into_inner(), ["a 1", "b 2"]);
}

/// An author's own error.
#[derive(Debug, PartialEq, Eq)]
struct Mine(u32);

impl std::fmt::Display for Mine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mine {}", self.0)
    }
}

impl StdError for Mine {}

#[test]
fn an_outcome_has_the_authors_own_error() {
    struct Failing(u32);

    impl HandleWatch for Failing {
        fn on_set(&mut self, _bucket: Bucket, key: Key<'_>, _payload: Payload) -> HandlerResult {
            self.0 += 1;
            if key == "fine" { Ok(()) } else { Err(Mine(self.0).into()) }
        }

        fn on_error(&mut self, failure: Failure<'_>) {
            match failure.key() {
                "trapped" => failure.trap(),
                "panicked" => panic!("{failure}"),
                "taken" => assert_eq!(*failure.into_error().downcast::<Mine>().unwrap(), Mine(1)),
                "nested" => {
                    let mut inner = TestHost::with_watcher(Personality::default(), || Failing(90));
                    assert_eq!(mine(&inner.set("noted", "")), Some(&Mine(91)));
                }
                _ => {}
            }
        }
    }

    fn mine(outcome: &inbound_keyvalue::testing::Outcome) -> Option<&Mine> {
        outcome.error()?.downcast_ref()
    }

    for (key, due) in [
        ("fine", None),
        ("noted", Some(&Mine(1))),
        ("trapped", Some(&Mine(1))),
        ("panicked", Some(&Mine(1))),
        ("taken", None),
        ("nested", Some(&Mine(1))),
    ] {
        let mut host = TestHost::with_watcher(Personality::default(), || Failing(0));
        let outcome = host.set(key, "");
        assert_eq!(mine(&outcome), due, "{key}");
        assert_eq!(outcome.clone(), outcome);
        if key == "noted" {
            assert_eq!(outcome.ending, Ending::Noted("on-set of \"noted\" failed: mine 1".into()));
            assert_ne!(host.set(key, "").error().unwrap().to_string(), outcome.error().unwrap().to_string());
        }
    }
}

#[test]
fn a_text_that_may_be_borrowed_is_content() {
    let text = String::from("text");
    let mut host = host();
    host.set("key", std::borrow::Cow::from(&text)).expect_handled();
    let borrowed = std::borrow::Cow::from(&text);
    host.set("key", &borrowed).expect_handled();
    host.set("key", borrowed).expect_handled();
    host.set("key", std::borrow::Cow::from(text.as_bytes())).expect_handled();
    host.set("key", Rc::<str>::from("text").as_bytes()).expect_handled();
    let payload = host.payload(std::borrow::Cow::<str>::Owned(text));
    assert_eq!(payload.into_string().unwrap(), "text");
    assert_clean(&mut host);
}

/// The names that `only_native!`, `pub use`, `pub struct` and the like make public.
fn public_names(source: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>();
    let mut list = false;
    for line in code {
        list |= line.starts_with("pub use ") || line.starts_with("only_native! {");
        let item = ["pub struct ", "pub trait "].into_iter().find_map(|start| line.strip_prefix(start));
        let listed = line.strip_prefix("pub use ").map_or(line, |path| path.rsplit("::").next().unwrap_or(path));
        if let Some(text) = item.map(|item| &item[..item.find(|c: char| !c.is_alphanumeric()).unwrap_or(item.len())]) {
            names.insert(text);
        } else if list {
            let words = listed.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            names.extend(words.filter(|word| word.starts_with(char::is_uppercase)));
        }
        list &= !line.contains(['}', ';']);
    }
    names
}

#[test]
fn wasm_builds_know_every_name_of_testing() {
    let native = public_names(include_str!("../../src/testing/mod.rs"));
    let mut wasm = public_names(include_str!("../../src/testing/on_wasm.rs"));
    assert!(wasm.remove("OnNativeTarget"));
    assert!(native.len() > 20 && native.contains("TestHost"), "{native:?}");
    assert_eq!(wasm, native);
}
