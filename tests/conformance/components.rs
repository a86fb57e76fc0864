//! Runs the examples and the test guest as components in wasmtime. These tests need a component.

use std::fs::{self, File};
use std::io::{BufReader, Write as _};

use conformance::{folder, run_recorded, watcher};
use kvwatch::build::Target;
use kvwatch::world::{Content, Events, Personality};
use kvwatch::{Output, Provider, Watched};

fn examples() -> Vec<String> {
    let mut examples: Vec<_> = fs::read_dir(folder("examples"))
        .expect("there are examples")
        .map(|entry| format!("examples/{}", entry.expect("it can be read").file_name().display()))
        .filter(|example| folder(example).join("Cargo.toml").is_file())
        // It needs HTTP, and kvwatch is built without HTTP here. Its test is among those of kvwatch.
        .filter(|example| example != "examples/webhook")
        .collect();
    examples.sort();
    examples
}

#[test]
fn every_example_handles_its_events_and_leaks_nothing() {
    for example in examples() {
        for target in [Target::UnknownUnknown, Target::Wasip1, Target::Wasip2] {
            let watcher = watcher(&example, target);
            let of_the_draft = [Provider::World, Provider::Store];
            let beyond = watcher.imports().iter().find(|import| !of_the_draft.contains(&import.provider));
            if target == Target::UnknownUnknown {
                assert!(beyond.is_none(), "{example} imports {beyond:?}");
            }
            run_recorded(&format!("{example} on {target}"), &watcher, &folder(&example));
        }
    }
}

/// A host that misbehaves may make an event fail. It must not make the watcher break a rule.
#[test]
fn examples_that_act_break_no_rule_under_any_personality() {
    for example in ["examples/running-totals", "examples/secondary-index", "examples/quarantine"] {
        let watcher = watcher(example, Target::UnknownUnknown);
        for (name, personality) in Personality::all() {
            let session = watcher.session().personality(personality).output(Output::captured());
            let mut store = Watched::new(session, "watched");
            let events = File::open(folder(example).join("events.jsonl")).expect("it has events");
            let (mut calls, mut changes) = (0, 0);
            for event in Events::new(BufReader::new(events)) {
                let outcome = store.apply(&event.expect("the events are events"));
                assert!(outcome.violations().is_empty(), "{example}, {name}: {:?}", outcome.violations());
                (calls, changes) = (calls + outcome.calls, changes + outcome.change_count);
            }
            assert!(calls > 0, "{example}, {name}");
            assert!(changes > 0 || name != "well-behaved", "{example} changes nothing");
        }
    }
}

#[test]
fn large_values_takes_a_gibibyte_in_less_than_four_mebibytes() {
    let gibibyte = 1 << 30;
    for target in [Target::UnknownUnknown, Target::Wasip2] {
        let mut session = watcher("examples/large-values", target).session().output(Output::captured()).build();
        let outcome = session.set("backups/large", &Content::repeat("a line of a backup\n", gibibyte));
        assert!(outcome.trapped().is_none() && outcome.violations().is_empty(), "{outcome:?}");
        assert!(outcome.peak_memory < 4 << 20, "{} bytes of guest memory", outcome.peak_memory);
        if target == Target::Wasip2 {
            assert!(outcome.stdout().contains(&gibibyte.to_string()), "{}", outcome.stdout());
        }
    }
}

#[test]
fn h1_a_failure_says_operation_key_and_chain_on_standard_error() {
    for target in [Target::Wasip1, Target::Wasip2] {
        let mut session = watcher("tests/guests/exercise", target).session().output(Output::captured()).build();
        let outcome = session.set("fail/\n", &"text".into());
        assert!(outcome.trapped().is_some());
        assert_eq!(outcome.stderr(), "on-set of \"fail/\\n\" failed: on purpose: to see the cause\n");

        let outcome = session.delete("panic");
        assert!(outcome.trapped().is_some());
        assert!(outcome.stderr().starts_with("on-delete of \"panic\" panicked:\n"), "{}", outcome.stderr());
        assert!(outcome.stderr().contains("a panic on purpose"), "{}", outcome.stderr());

        // The next event goes to a fresh instance.
        assert_eq!(session.delete("ignore").values()[0].bytes, b"ok 1 events");
    }
}

#[test]
fn keys_of_any_length_and_text_arrive_as_they_are() {
    let mut session = watcher("tests/guests/exercise", Target::UnknownUnknown).session().build();
    // Some lengths occur twice, and some have a common remainder, because the memory of keys is reused by length.
    for round in 0..3 {
        for len in [0, 1, 7, 8, 9, 16, 15, 255, 256, 257, 264, 5000] {
            let key = format!("ignore/{}", "ö".repeat(len));
            let outcome = session.set(&key, &"text".into());
            assert!(outcome.trapped().is_none() && outcome.violations().is_empty(), "{round}, {len}: {outcome:?}");
            let outcome = session.delete(&key[..7 + 2 * (len / 2)]);
            assert!(outcome.trapped().is_none(), "{round}, {len}");
        }
        assert!(session.delete("").trapped().is_none());
    }
}

#[test]
fn soak_a_million_events_of_mixed_sizes_and_failures_leave_memory_as_it_was() {
    const EVENTS: u32 = 1_000_000;
    let exercises = [
        "ignore",
        "whole",
        "over-limit",
        "text",
        "json",
        "read-exact",
        "chunks",
        "lines",
        "copy",
        "open-bucket",
        "mixed",
    ];
    let personality = Personality::deviating(|host| host.read.error_at = Some(20_000));
    let watcher = watcher("tests/guests/exercise", Target::UnknownUnknown);
    let mut session = watcher.session().personality(personality).keep_written(64).build();

    let (mut failures, mut early) = (0_u32, 0);
    for event in 0..EVENTS {
        let exercise = exercises[event as usize % exercises.len()];
        // Most payloads are small, and some are larger than a chunk. Within the first thousand events, each exercise has a large
        // one.
        let len = if event % 83 == 0 { 70_000 } else { u64::from(event % 89) };
        let key = format!("{exercise}/{}", event % 1000);
        let outcome = if event % 13 == 0 {
            session.delete(&key)
        } else {
            session.set(&key, &Content::repeat("some text\n\u{fffd}".as_bytes(), len))
        };
        assert!(outcome.trapped().is_none(), "event {event}, {key}: {outcome:?}");
        assert!(outcome.violations().is_empty(), "event {event}, {key}: {:?}", outcome.violations());
        failures += u32::from(outcome.values().last().is_some_and(|report| report.bytes.starts_with(b"error")));
        match event {
            0..1000 => early = outcome.peak_memory,
            _ => assert_eq!(outcome.peak_memory, early, "memory has grown by event {event}"),
        }
    }
    // This bypasses the capture of the test runner, so that the figures are visible.
    let _ = writeln!(
        std::io::stdout(),
        "{EVENTS} events on one instance, {failures} of them failures that it reported: {early} bytes of guest memory"
    );
    assert!(failures > EVENTS / 10, "{failures} failures are hardly a mixture");
}
