//! The figures that are counted, and are therefore the same in every run.

use wasmtime::{Result, ensure};

use crate::guests::Guests;
use crate::host::{Event, Machine};

/// A figure of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Of the guest written by hand.
    pub by_hand: u64,
    /// Of the guest written with the SDK.
    pub with_sdk: u64,
}

/// An event for a guest and its rival.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What the table calls it.
    pub name: &'static str,
    by_hand: &'static str,
    with_sdk: &'static str,
    event: Event,
}

const fn case(name: &'static str, by_hand: &'static str, with_sdk: &'static str, event: Event) -> Case {
    Case { name, by_hand, with_sdk, event }
}

/// What instructions are counted of.
pub const EVENTS: &[Case] = &[
    case("set, ignored", "hand_ignores", "sdk_ignores", Event::Set(7)),
    case("7 B, consumed and not looked at", "hand_consumes", "sdk_consumes", Event::Set(7)),
    case("7 B whole", "hand_sums", "sdk_sums", Event::Set(7)),
    case("64 KiB whole", "hand_sums", "sdk_sums", Event::Set(64 << 10)),
    case("delete", "hand_sums", "sdk_sums", Event::Delete),
    case("7 B streamed, chunks", "hand_streams", "sdk_sums_chunks", Event::Set(7)),
    case("7 B streamed, BufRead", "hand_streams", "sdk_sums_buf_read", Event::Set(7)),
    case("7 B streamed, Read", "hand_streams", "sdk_sums_read", Event::Set(7)),
    case("4 MiB streamed, chunks", "hand_streams", "sdk_sums_chunks", Event::Set(4 << 20)),
    case("4 MiB streamed, BufRead", "hand_streams", "sdk_sums_buf_read", Event::Set(4 << 20)),
    case("4 MiB streamed, Read", "hand_streams", "sdk_sums_read", Event::Set(4 << 20)),
];

/// How many instructions an instance's first event takes, and its third, which finds everything warm.
///
/// # Errors
///
/// When a guest traps, or the two do not make the same calls.
pub fn instructions(machine: &Machine, by_hand: &Guests, with_sdk: &Guests, case: &Case) -> Result<(Pair, Pair)> {
    let run = |component: &[u8]| -> Result<_> {
        let mut watcher = machine.load(component)?.start()?;
        let first = watcher.cost(case.event)?;
        watcher.cost(case.event)?;
        let third = watcher.cost(case.event)?;
        Ok((first, third, watcher.calls()))
    };
    let hand = run(by_hand.get(case.by_hand)?)?;
    let sdk = run(with_sdk.get(case.with_sdk)?)?;
    ensure!(hand.2 == sdk.2, "{}: the guests do not do the same: {:?} by hand, {:?} with the SDK", case.name, hand.2, sdk.2);
    Ok((Pair { by_hand: hand.0, with_sdk: sdk.0 }, Pair { by_hand: hand.1, with_sdk: sdk.1 }))
}

/// The components whose size is counted: what the table calls them, and the guests.
pub const COMPONENTS: &[(&str, &str, &str)] = &[
    ("that ignores everything", "hand_ignores", "sdk_ignores"),
    ("least that reads", "hand_consumes", "sdk_consumes"),
    ("of the README", "hand_readme", "sdk_readme"),
    ("sums whole", "hand_sums", "sdk_sums"),
    ("sums chunks", "hand_streams", "sdk_sums_chunks"),
    ("sums BufRead", "hand_streams", "sdk_sums_buf_read"),
    ("sums Read", "hand_streams", "sdk_sums_read"),
];
