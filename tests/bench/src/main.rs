//! Prints the counted figures.

use bench::counted::{COMPONENTS, EVENTS, Pair, instructions};
use bench::guests::{Guests, Side};
use bench::host::Machine;
use wasmtime::Result;

fn row(what: &str, pair: Pair) {
    let ratio = pair.with_sdk as f64 / pair.by_hand as f64;
    println!("{what:45} {:>12} {:>12} {ratio:>8.4}", pair.by_hand, pair.with_sdk);
}

fn main() -> Result<()> {
    let [by_hand, with_sdk] = Side::BOTH.map(Guests::build);
    let (by_hand, with_sdk) = (by_hand?, with_sdk?);
    let machine = Machine::counting()?;
    for case in EVENTS {
        let (first, third) = instructions(&machine, &by_hand, &with_sdk, case)?;
        row(case.name, third);
        row(&format!("    first event: {}", case.name), first);
    }
    for (name, hand, sdk) in COMPONENTS {
        let bytes = Pair { by_hand: by_hand.get(hand)?.len() as u64, with_sdk: with_sdk.get(sdk)?.len() as u64 };
        row(&format!("bytes, watcher {name}"), bytes);
    }
    row("packages", Pair { by_hand: by_hand.dependencies() as u64, with_sdk: with_sdk.dependencies() as u64 });
    Ok(())
}
