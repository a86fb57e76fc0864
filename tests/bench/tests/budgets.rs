//! Budgets for the counted figures. A change that makes a watcher more expensive fails here. The failure shows by how
//! much.
//!
//! Each budget is the figure that `cargo run --bin bench` printed when the budget was last changed. If a figure becomes
//! smaller, enter it here, so that it stays small. No test checks a time.

use std::process::ExitCode;
use std::sync::OnceLock;

use bench::counted::{
    ALLOCATIONS, COMPONENTS, EVENTS, Pair, Rivals, STEADY, allocations, bytes, growth, instructions, packages,
};
use bench::guests::Guests;
use bench::host::Machine;
use bench::sizes::Sizes;
use harness::{pinned_rust, test};
use wasm_targets::Target;

/// Instructions and bytes depend on the compiler's version. The other counted figures do not.
fn main() -> ExitCode {
    harness::run([
        test!(instructions_of_an_event).needs(pinned_rust),
        test!(bytes_of_a_component).needs(pinned_rust),
        test!(sizes_of_what_an_author_uses).needs(pinned_rust),
        test!(packages_before_a_watcher),
        test!(allocations_of_a_read),
        test!(memory_is_flat_over_20_000_events),
    ])
}

/// The highest allowed figure with the SDK, and its highest allowed ratio to the figure by hand.
struct Budget {
    name: &'static str,
    with_sdk: u64,
    goal: f64,
}

const fn budget(name: &'static str, with_sdk: u64, goal: f64) -> Budget {
    Budget { name, with_sdk, goal }
}

/// No goal: only the budget limits the figure.
const NONE: f64 = f64::INFINITY;

/// The same source and compiler produce the same figures. But a standard library that was built elsewhere from the same
/// source, like Debian's, may differ by a few instructions and bytes. The slack of 1 % is only for that.
const SLACK: f64 = 1.01;

/// The instructions of an event. The goal is 1.00 times those by hand. A ratio of 1.005 is 1.00 in two decimals.
const INSTRUCTIONS: &[Budget] = &[
    budget("set, ignored", 88, 1.0),
    budget("7 B whole, not looked at", 359, 1.0),
    budget("7 B whole", 492, 1.0),
    budget("7 B whole, `Bytes`", 496, 1.0),
    budget("64 KiB whole", 1_048_937, 1.0),
    budget("64 KiB whole, `Bytes`", 1_048_941, 1.0),
    // The state has a fourth case, for a payload's limit, and each read checks for it. A chunk, too, starts with the
    // bytes that `BufRead` has buffered.
    budget("7 B streamed, chunks", 646, 1.0),
    budget("7 B streamed, `BufRead`", 497, 1.0),
    budget("7 B streamed, `Read`", 489, 1.0),
    budget("4 MiB streamed, chunks", 67_129_476, 1.005),
    budget("4 MiB streamed, `BufRead`", 67_121_093, 1.0),
    budget("4 MiB streamed, `Read`", 67_120_455, 1.0),
    budget("delete", 80, 1.0),
    budget("7 B, the README's watcher", 2_221, 1.0),
    budget("`get` and `set` of 7 B", 476, 1.0),
    budget("`increment`", 108, 1.0),
    budget("`get-many` of 10 keys", 3_808, 1.0),
];

/// The sizes of components.
const BYTES: &[Budget] = &[
    budget("the least watcher", 11_066, 1.0),
    budget("the least that reads", 12_198, 1.0),
    budget("the least that reads `Bytes`", 16_534, NONE),
    budget("the least that reads text", 13_083, 1.0),
    budget("the README's", 25_518, 1.105),
    budget("`get` and `set`", 17_167, 1.15),
    budget("`increment`", 14_379, 1.15),
    budget("`get-many`", 15_392, 1.15),
    budget("sums up chunks", 17_942, NONE),
    budget("sums up through `BufRead`", 16_033, 1.2),
    budget("sums up through `Read`", 19_568, NONE),
];

/// The cost of each use on `wasm32-unknown-unknown`: bytes and instructions, without and with the feature
/// `small-allocator`.
const SIZES: &[(&str, [u64; 2], [u64; 2])] = &[
    ("nothing", [11_066, 88], [3_045, 83]),
    ("`println!` of a key", [20_971, 722], [13_808, 715]),
    ("the README's watcher", [25_518, 2_221], [16_010, 2_100]),
    ("`into_vec`", [12_340, 492], [4_326, 364]),
    ("`into_bytes`", [16_667, 496], [4_688, 390]),
    ("`into_string`", [13_083, 503], [5_102, 383]),
    ("`into_json`", [58_695, 2_483], [50_758, 2_189]),
    ("chunks", [17_942, 646], [6_003, 578]),
    ("`Read`", [19_568, 489], [12_341, 489]),
    ("`BufRead`", [16_033, 497], [8_279, 497]),
    ("`BufRead::lines`", [21_931, 1_437], [14_107, 1_324]),
    ("`io::copy` to a `Value`", [19_885, 8_750], [12_739, 8_750]),
    ("`Value` as `Write`", [18_595, 499], [11_276, 499]),
    ("`?` on three errors", [13_806, 605], [6_372, 485]),
    ("`get` and `set`", [17_167, 476], [9_741, 356]),
    ("`open`, `into_bytes`, `BufRead`", [21_849, 629], [10_059, 628]),
];

/// The allocations in a thousand reads. They do not depend on the compiler.
const READS: &[Budget] =
    &[budget("`Read` into 64 KiB", 0, 0.0), budget("`BufRead`", 0, 0.0), budget("chunks", 1_000, 1.0)];

fn guests() -> &'static [Guests; 2] {
    static GUESTS: OnceLock<[Guests; 2]> = OnceLock::new();
    GUESTS.get_or_init(|| Guests::of_both_sides().expect("the guests should build"))
}

/// Compares figures with their budgets. Checks all figures before it fails.
#[expect(clippy::cast_precision_loss, reason = "no figure comes near 2^52")]
fn hold(unit: &str, budgets: &[Budget], slack: f64, figures: &[(&str, Pair)]) {
    assert!(
        budgets.iter().map(|budget| budget.name).eq(figures.iter().map(|(name, _)| *name)),
        "every figure must have a budget, in the order of the table"
    );
    let mut faults = Vec::new();
    for (budget, (name, pair)) in budgets.iter().zip(figures) {
        let Pair { by_hand, with_sdk } = *pair;
        if with_sdk as f64 > budget.with_sdk as f64 * slack {
            faults.push(format!("{name}: {with_sdk} {unit}, but the budget is {}", budget.with_sdk));
        }
        if with_sdk as f64 > by_hand as f64 * budget.goal {
            let goal = budget.goal;
            faults.push(format!("{name}: {with_sdk} {unit}, but the goal is {goal} times the {by_hand} by hand"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn figures<'a>(
    rivals: impl IntoIterator<Item = &'a Rivals>,
    count: impl Fn(&Rivals) -> wasmtime::Result<Pair>,
) -> Vec<(&'static str, Pair)> {
    let figure =
        |rivals: &Rivals| (rivals.name, count(rivals).unwrap_or_else(|error| panic!("{}: {error:#}", rivals.name)));
    rivals.into_iter().map(figure).collect()
}

fn instructions_of_an_event() {
    let machine = Machine::counting().expect("wasmtime should run here");
    let figure = |case| {
        let pair = instructions(&machine, guests(), case);
        (case.rivals.name, pair.unwrap_or_else(|error| panic!("{}: {error:#}", case.rivals.name)))
    };
    hold("instructions", INSTRUCTIONS, SLACK, &EVENTS.iter().map(figure).collect::<Vec<_>>());
}

fn bytes_of_a_component() {
    hold("bytes", BYTES, SLACK, &figures(COMPONENTS, |rivals| bytes(guests(), rivals)));
}

#[expect(clippy::cast_precision_loss, reason = "no figure comes near 2^52")]
fn sizes_of_what_an_author_uses() {
    let sizes = Sizes::of(Target::UnknownUnknown).expect("the guests should build").sizes;
    assert!(
        SIZES.iter().map(|(name, ..)| *name).eq(sizes.iter().map(|size| size.name)),
        "every use must have a budget, in the order of the table"
    );
    let mut faults = Vec::new();
    for ((name, with_sdk, small), size) in SIZES.iter().zip(&sizes) {
        for (what, budget, cost) in
            [("by default", with_sdk, size.with_sdk), ("with `small-allocator`", small, size.small)]
        {
            for (unit, budget, figure) in
                [("bytes", budget[0], cost.bytes), ("instructions", budget[1], cost.instructions)]
            {
                if figure as f64 > budget as f64 * SLACK {
                    faults.push(format!("{name}, {what}: {figure} {unit}, but the budget is {budget}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn packages_before_a_watcher() {
    let packages = packages(guests()).with_sdk;
    assert!(
        packages <= 10,
        "{packages} packages are compiled before a watcher, but the budget is 10 and the goal is 11"
    );
}

fn allocations_of_a_read() {
    let machine = Machine::fast().expect("wasmtime should run here");
    hold("allocations", READS, 1.0, &figures(ALLOCATIONS, |rivals| allocations(&machine, guests(), rivals)));
}

/// The benchmarks deliver a million events.
fn memory_is_flat_over_20_000_events() {
    let machine = Machine::fast().expect("wasmtime should run here");
    for (name, growth) in figures(STEADY, |rivals| growth(&machine, guests(), rivals, 20_000)) {
        assert_eq!(growth, Pair { by_hand: 0, with_sdk: 0 }, "{name}: bytes grown after the first hundred events");
    }
}
