//! The cost of each typical use on each target, in bytes and instructions: by hand, with the SDK, and with the SDK's
//! feature `small-allocator`.
//!
//! A guest by hand is written in the same style as its rival: it calls the same functions of the standard library.
//! `Read` and `BufRead` are the exceptions. By hand, nobody would write more than a loop over the host's lists.

use std::fmt::{self, Display};

use wasm_targets::Target;
use wasmtime::{Result, ensure};

use crate::counted::{COMPONENTS, Case, EVENTS, Pair, case, third_event};
use crate::guests::{self, Guests, Side};
use crate::host::{Event, Machine};
use crate::table::{grouped, markdown};

/// The uses that are compared, each with an event.
pub const USES: &[Case] = &[
    case("nothing", "hand_ignores", "sdk_ignores", Event::Set(7)),
    case("`println!` of a key", "hand_prints", "sdk_prints", Event::Set(7)),
    case("the README's watcher", "hand_readme", "sdk_readme", Event::Set(7)),
    case("`into_vec`", "hand_sums", "sdk_sums", Event::Set(7)),
    case("`into_bytes`", "hand_sums", "sdk_sums_bytes", Event::Set(7)),
    case("`into_string`", "hand_consumes_text", "sdk_consumes_text", Event::Set(7)),
    case("`into_json`", "hand_json", "sdk_json", Event::SetText(r#"{"name":"Ada","age":36}"#)),
    case("chunks", "hand_streams", "sdk_sums_chunks", Event::Set(7)),
    case("`Read`", "hand_streams", "sdk_sums_read", Event::Set(7)),
    case("`BufRead`", "hand_streams", "sdk_sums_buf_read", Event::Set(7)),
    case("`BufRead::lines`", "hand_lines", "sdk_lines", Event::Set(7)),
    case("`io::copy` to a `Value`", "hand_pipes", "sdk_pipes", Event::Set(7)),
    case("`Value` as `Write`", "hand_writes", "sdk_writes", Event::Set(7)),
    case("`?` on three errors", "hand_fails", "sdk_fails", Event::Set(7)),
    case("`get` and `set`", "hand_copies", "sdk_copies", Event::Set(7)),
    case("`open`, `into_bytes`, `BufRead`", "hand_everyday", "sdk_everyday", Event::Set(7)),
];

/// The uses whose guests are in no other table. The guest for JSON is left out, because its build is separate.
pub fn additional() -> impl Iterator<Item = &'static Case> {
    let known = |case: &Case| EVENTS.iter().any(|other| other.rivals.guests() == case.rivals.guests());
    let json = |case: &Case| case.rivals.guests().iter().any(|name| guests::needs_json(name));
    USES.iter().filter(move |case| {
        !known(case) && !json(case) && !COMPONENTS.iter().any(|other| other.guests() == case.rivals.guests())
    })
}

/// The cost of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// The size of its component, in bytes.
    pub bytes: u64,
    /// The instructions of its third event.
    pub instructions: u64,
}

/// The cost of one use on one target.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The name of the use.
    pub name: &'static str,
    /// The cost of the guest written by hand.
    pub by_hand: Cost,
    /// The cost of the guest written with the SDK.
    pub with_sdk: Cost,
    /// The cost of the guest written with the SDK and its feature `small-allocator`.
    pub small: Cost,
}

/// The cost of every use on one target, displayed as Markdown tables under headings.
#[derive(Debug)]
pub struct Sizes {
    target: Target,
    /// The costs, in the order of [`USES`].
    pub sizes: Vec<Size>,
}

impl Sizes {
    /// Builds all guests for `target`, and counts their bytes and instructions.
    ///
    /// # Errors
    ///
    /// When cargo fails, a guest traps, or the guests of a use make different calls.
    pub fn of(target: Target) -> Result<Self> {
        let machine = Machine::counting()?;
        let build = |side: Side, rival: usize| {
            Guests::of_names(side, target, USES.iter().map(|case| case.rivals.guests()[rival]))
        };
        let (by_hand, with_sdk) = (build(Side::ByHand, 0)?, build(Side::WithSdk, 1)?);
        let small = build(Side::WithSmallAllocator, 1)?;
        let size = |case: &Case| {
            let cost = |guests: &Guests, rival: usize| {
                let component = guests.get(case.rivals.guests()[rival])?;
                let mut watcher = machine.load(component)?.start()?;
                let instructions = third_event(&mut watcher, case)?;
                Ok::<_, wasmtime::Error>((Cost { bytes: component.len() as u64, instructions }, watcher.calls()))
            };
            let name = case.rivals.name;
            let ((by_hand, calls), (with_sdk, sdk_calls)) = (cost(&by_hand, 0)?, cost(&with_sdk, 1)?);
            let (small, small_calls) = cost(&small, 1)?;
            ensure!(
                calls == sdk_calls && calls == small_calls,
                "{name}: the guests make different calls: {calls:?} by hand, {sdk_calls:?} with the SDK"
            );
            Ok(Size { name, by_hand, with_sdk, small })
        };
        Ok(Self { target, sizes: USES.iter().map(size).collect::<Result<_>>()? })
    }
}

impl Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, figure) in
            [("bytes", (|cost: Cost| cost.bytes) as fn(Cost) -> u64), ("instructions", |cost: Cost| cost.instructions)]
        {
            writeln!(f, "### {what}, {}\n", self.target)?;
            let mut lines =
                vec![["what", "by hand", "with the SDK", "ratio", "`small-allocator`", "ratio"].map(str::to_owned)];
            for size in &self.sizes {
                let [by_hand, with_sdk, small] = [size.by_hand, size.with_sdk, size.small].map(figure);
                let ratio = |with_sdk| {
                    let ratio = Pair { by_hand, with_sdk }.ratio();
                    ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default()
                };
                lines.push([
                    size.name.to_owned(),
                    grouped(by_hand),
                    grouped(with_sdk),
                    ratio(with_sdk),
                    grouped(small),
                    ratio(small),
                ]);
            }
            markdown(f, &lines, &(1..6))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
