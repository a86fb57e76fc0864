//! Any guest against any host: sequences of calls, handles and lengths under limits. No call may panic, and the host must keep its
//! limits.
//!
//! ```console
//! cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none host -- -max_total_time=60 -rss_limit_mb=512 -malloc_limit_mb=64
//! ```
//!
//! The last run (November 2026, beside other work) made 56,923 sequences in 61 s. No call panicked, no sequence allocated 64 MiB
//! at once, and the process stayed below 512 MiB.
#![no_main]

use arbitrary::Arbitrary;
use hostile_guest::{Call, Event};
use inbound_keyvalue_host::Personality;
use libfuzzer_sys::fuzz_target;

#[path = "../../host/world/tests/hostile_guest/mod.rs"]
mod hostile_guest;

#[derive(Arbitrary, Debug)]
struct Input {
    personality: u8,
    limits: bool,
    events: Vec<(bool, Vec<Step>)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Step {
    function: u8,
    first: u8,
    second: u8,
    len: Len,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Len {
    Small(u8),
    Medium(u32),
    Any(u64),
    Most,
}

impl From<Step> for Call {
    fn from(step: Step) -> Self {
        let len = match step.len {
            Len::Small(len) => len.into(),
            Len::Medium(len) => len.into(),
            Len::Any(len) => len,
            Len::Most => u64::MAX,
        };
        Self { function: step.function, first: step.first, second: step.second, len }
    }
}

fuzz_target!(|input: Input| {
    let personalities = Personality::all();
    let (_, personality) = personalities[usize::from(input.personality) % personalities.len()].clone();
    let limits = hostile_guest::LIMITS[usize::from(input.limits)];
    let events = input
        .events
        .into_iter()
        .map(|(collected, steps)| Event { collected, calls: steps.into_iter().map(Call::from) });
    hostile_guest::run(personality, limits, events);
});
