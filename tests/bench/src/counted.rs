//! The counted figures, which are the same in every run.

use wasmtime::error::Context as _;
use wasmtime::{Result, ensure};

use crate::guests::Guests;
use crate::host::{CHUNK, Event, Machine, Watcher};

/// The figures of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The figure of the guest written by hand.
    pub by_hand: u64,
    /// The figure of the guest written with the SDK.
    pub with_sdk: u64,
}

impl Pair {
    /// The figure with the SDK divided by the figure by hand. `None` if the figure by hand is 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no figure comes near 2^52")]
    pub fn ratio(self) -> Option<f64> {
        (self.by_hand > 0).then(|| self.with_sdk as f64 / self.by_hand as f64)
    }
}

/// A guest written by hand, and its rival written with the SDK.
#[derive(Clone, Copy, Debug)]
pub struct Rivals {
    /// Their name in the table.
    pub name: &'static str,
    by_hand: &'static str,
    with_sdk: &'static str,
}

pub(crate) const fn rivals(name: &'static str, by_hand: &'static str, with_sdk: &'static str) -> Rivals {
    Rivals { name, by_hand, with_sdk }
}

impl Rivals {
    /// The names of the guests.
    #[must_use]
    pub const fn guests(&self) -> [&'static str; 2] {
        [self.by_hand, self.with_sdk]
    }

    /// The components of the guests.
    ///
    /// # Errors
    ///
    /// When there is no guest with this name.
    pub fn get<'a>(&self, [by_hand, with_sdk]: &'a [Guests; 2]) -> Result<[&'a [u8]; 2]> {
        Ok([by_hand.get(self.by_hand)?, with_sdk.get(self.with_sdk)?])
    }

    /// Starts an instance of each guest.
    ///
    /// # Errors
    ///
    /// When there is no guest with this name, or it is not a watcher.
    pub fn start(&self, machine: &Machine, guests: &[Guests; 2]) -> Result<[Watcher; 2]> {
        let [by_hand, with_sdk] = self.get(guests)?;
        Ok([machine.load(by_hand)?.start()?, machine.load(with_sdk)?.start()?])
    }
}

/// An event for a guest and its rival.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The guests. Their name is the name of the event in the table.
    pub rivals: Rivals,
    pub(crate) event: Event,
}

pub(crate) const fn case(name: &'static str, by_hand: &'static str, with_sdk: &'static str, event: Event) -> Case {
    Case { rivals: rivals(name, by_hand, with_sdk), event }
}

/// The events whose instructions are counted.
pub const EVENTS: &[Case] = &[
    case("set, ignored", "hand_ignores", "sdk_ignores", Event::Set(7)),
    case("7 B whole, not looked at", "hand_consumes", "sdk_consumes", Event::Set(7)),
    case("7 B whole", "hand_sums", "sdk_sums", Event::Set(7)),
    case("7 B whole, `Bytes`", "hand_sums", "sdk_sums_bytes", Event::Set(7)),
    case("64 KiB whole", "hand_sums", "sdk_sums", Event::Set(64 << 10)),
    case("64 KiB whole, `Bytes`", "hand_sums", "sdk_sums_bytes", Event::Set(64 << 10)),
    case("7 B streamed, chunks", "hand_streams", "sdk_sums_chunks", Event::Set(7)),
    case("7 B streamed, `BufRead`", "hand_streams", "sdk_sums_buf_read", Event::Set(7)),
    case("7 B streamed, `Read`", "hand_streams", "sdk_sums_read", Event::Set(7)),
    case("4 MiB streamed, chunks", "hand_streams", "sdk_sums_chunks", Event::Set(4 << 20)),
    case("4 MiB streamed, `BufRead`", "hand_streams", "sdk_sums_buf_read", Event::Set(4 << 20)),
    case("4 MiB streamed, `Read`", "hand_streams", "sdk_sums_read", Event::Set(4 << 20)),
    case("delete", "hand_sums", "sdk_sums", Event::Delete),
    case("7 B, the README's watcher", "hand_readme", "sdk_readme", Event::Set(7)),
    case("`get` and `set` of 7 B", "hand_copies", "sdk_copies", Event::Set(7)),
    case("`increment`", "hand_increments", "sdk_increments", Event::Set(7)),
    case("`get-many` of 10 keys", "hand_gets_many", "sdk_gets_many", Event::Set(7)),
];

/// The number of instructions of an instance's third event. The first two events warm everything up.
///
/// # Errors
///
/// When a guest traps, or the two guests make different calls.
pub fn instructions(machine: &Machine, guests: &[Guests; 2], case: &Case) -> Result<Pair> {
    let mut watchers = case.rivals.start(machine, guests)?;
    let [by_hand, with_sdk] = &mut watchers;
    let pair = Pair { by_hand: third_event(by_hand, case)?, with_sdk: third_event(with_sdk, case)? };
    let [by_hand, with_sdk] = watchers.map(|watcher| watcher.calls());
    let name = case.rivals.name;
    ensure!(
        by_hand == with_sdk,
        "{name}: the guests make different calls: {by_hand:?} by hand, {with_sdk:?} with the SDK"
    );
    Ok(pair)
}

/// The number of instructions of the third event of `watcher`.
pub(crate) fn third_event(watcher: &mut Watcher, case: &Case) -> Result<u64> {
    watcher.deliver(case.event)?;
    watcher.deliver(case.event)?;
    watcher.cost(case.event)
}

/// The components whose size is counted.
pub const COMPONENTS: &[Rivals] = &[
    rivals("the least watcher", "hand_ignores", "sdk_ignores"),
    rivals("the least that reads", "hand_consumes", "sdk_consumes"),
    rivals("the least that reads `Bytes`", "hand_consumes", "sdk_consumes_bytes"),
    rivals("the least that reads text", "hand_consumes_text", "sdk_consumes_text"),
    rivals("the README's", "hand_readme", "sdk_readme"),
    rivals("`get` and `set`", "hand_copies", "sdk_copies"),
    rivals("`increment`", "hand_increments", "sdk_increments"),
    rivals("`get-many`", "hand_gets_many", "sdk_gets_many"),
    rivals("sums up chunks", "hand_streams", "sdk_sums_chunks"),
    rivals("sums up through `BufRead`", "hand_streams", "sdk_sums_buf_read"),
    rivals("sums up through `Read`", "hand_streams", "sdk_sums_read"),
];

/// The sizes of the components.
///
/// # Errors
///
/// When there is no guest with this name.
pub fn bytes(guests: &[Guests; 2], rivals: &Rivals) -> Result<Pair> {
    let [by_hand, with_sdk] = rivals.get(guests)?.map(|component| component.len() as u64);
    Ok(Pair { by_hand, with_sdk })
}

/// The number of packages that cargo compiles before a guest.
#[must_use]
pub fn packages(guests: &[Guests; 2]) -> Pair {
    let [by_hand, with_sdk] = guests.each_ref().map(|guests| guests.dependencies() as u64);
    Pair { by_hand, with_sdk }
}

/// The guests that count allocations.
pub const ALLOCATIONS: &[Rivals] = &[
    rivals("`Read` into 64 KiB", "hand_counts", "sdk_counts_read"),
    rivals("`BufRead`", "hand_counts", "sdk_counts_buf_read"),
    rivals("chunks", "hand_counts", "sdk_counts_chunks"),
];

/// The number of allocations of a thousand reads in the steady state. After a first payload, it is the number for a
/// payload of 1100 chunks minus the number for a payload of 100 chunks.
///
/// # Errors
///
/// When a guest traps, or does not report the number.
pub fn allocations(machine: &Machine, guests: &[Guests; 2], rivals: &Rivals) -> Result<Pair> {
    let [by_hand, with_sdk] = rivals.start(machine, guests)?.map(|mut watcher| {
        let mut told = |chunks: u64| -> Result<u64> {
            watcher.deliver(Event::Set(chunks * CHUNK as u64))?;
            let told = watcher.take_written().try_into();
            told.map(u64::from_le_bytes).ok().context("the guest does not report the number of allocations")
        };
        told(100)?;
        let few = told(100)?;
        Ok::<_, wasmtime::Error>(told(1_100)? - few)
    });
    Ok(Pair { by_hand: by_hand?, with_sdk: with_sdk? })
}

/// The guests whose memory must not grow with the number of events.
pub const STEADY: &[Rivals] = &[
    rivals("7 B whole", "hand_sums", "sdk_sums"),
    rivals("7 B streamed, `BufRead`", "hand_streams", "sdk_sums_buf_read"),
];

/// The number of bytes by which the memory of an instance grows after the first hundred of `events` events.
///
/// # Errors
///
/// When a guest traps.
pub fn growth(machine: &Machine, guests: &[Guests; 2], rivals: &Rivals, events: u32) -> Result<Pair> {
    let [by_hand, with_sdk] = rivals.start(machine, guests)?.map(|mut watcher| {
        let mut before = 0;
        for event in 0..events {
            if event == 100 {
                before = watcher.memory();
            }
            watcher.deliver(Event::Set(7))?;
        }
        Ok::<_, wasmtime::Error>((watcher.memory() - before) as u64)
    });
    Ok(Pair { by_hand: by_hand?, with_sdk: with_sdk? })
}

/// The guests that stream as fast as possible, with the size of each one's buffer: the author's buffer or a chunk.
pub const STREAMING: &[(Rivals, usize)] = &[
    (rivals("chunks", "hand_drains", "sdk_drains_chunks"), CHUNK),
    (rivals("`BufRead`", "hand_drains", "sdk_drains_buf_read"), CHUNK),
    (rivals("`Read` into 1 MiB", "hand_fills", "sdk_fills"), 1 << 20),
];
