//! The measured figures, which differ from run to run. The sides run in turns, so that other load slows both.

use std::time::{Duration, Instant};

use kvwatch::world::{Content, Instance, Personality};
use kvwatch::{Engine, Session};
use wasmtime::{Result, ensure};

use crate::guests::{Side, cold_build};
use crate::host::{Event, KEY, Machine, SMALL, Watcher};

/// The times of both sides.
#[derive(Clone, Debug)]
pub struct Paired {
    /// The left side's median.
    pub left: Duration,
    /// The right side's median.
    pub right: Duration,
    /// The quartiles of the speed ratio, right to left, over all pairs: the lower one, the median and the upper one.
    pub quartiles: [f64; 3],
}

impl Paired {
    /// Times this number of pairs of runs. The two sides take turns in running first.
    pub(crate) fn measure(
        pairs: usize,
        mut left: impl FnMut() -> Result<Duration>,
        mut right: impl FnMut() -> Result<Duration>,
    ) -> Result<Self> {
        let (mut lefts, mut rights, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs {
            let (left, right) = if pair % 2 == 0 {
                let left = left()?;
                (left, right()?)
            } else {
                let right = right()?;
                (left()?, right)
            };
            lefts.push(left);
            rights.push(right);
            ratios.push(left.as_secs_f64() / right.as_secs_f64());
        }
        lefts.sort();
        rights.sort();
        ratios.sort_by(f64::total_cmp);
        let quartile = |quarter: usize| ratios[(pairs - 1) * quarter / 4];
        Ok(Self {
            left: lefts[(pairs - 1) / 2],
            right: rights[(pairs - 1) / 2],
            quartiles: [quartile(1), quartile(2), quartile(3)],
        })
    }
}

fn timed(run: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    run()?;
    Ok(begun.elapsed())
}

/// The number of bytes that are streamed.
pub const STREAMED: u64 = 1 << 30;

/// The time that two guests take to stream 1 GiB.
///
/// # Errors
///
/// When a guest traps.
pub fn streaming(by_hand: &mut Watcher, with_sdk: &mut Watcher) -> Result<Paired> {
    let run = |watcher: &mut Watcher| timed(|| watcher.deliver(Event::Set(STREAMED)));
    Paired::measure(25, || run(by_hand), || run(with_sdk))
}

/// The CPU time to build the README's watcher and its dependencies into an empty folder.
///
/// # Errors
///
/// When cargo fails.
pub fn builds() -> Result<Paired> {
    Paired::measure(3, || cold_build(Side::ByHand, "hand_readme"), || cold_build(Side::WithSdk, "sdk_readme"))
}

/// The time of an event in bare wasmtime and in kvwatch, when the instance is kept.
///
/// Every pair has new instances, and all of them stay alive: the speed of an instance depends on its memory's address.
///
/// # Errors
///
/// When the guest traps.
pub fn kept(component: &[u8]) -> Result<Paired> {
    let bare = Machine::fast()?.load(component)?;
    let engine = Engine::new()?;
    let content = Content::from(SMALL);
    let (mut watchers, mut sessions) = (Vec::new(), Vec::new());
    of_each(
        20_000,
        |events| {
            let mut watcher = bare.start()?;
            let time = repeated(events, || watcher.deliver(Event::Set(SMALL.len() as u64)))?;
            watchers.push(watcher);
            Ok(time)
        },
        |events| {
            let mut session = session(&engine, component, Instance::Kept)?;
            let time = repeated(events, || deliver(&mut session, &content))?;
            sessions.push(session);
            Ok(time)
        },
    )
}

/// The time of an event in bare wasmtime and in kvwatch, when each event has a new instance.
///
/// # Errors
///
/// When the guest traps.
pub fn per_event(component: &[u8]) -> Result<Paired> {
    let bare = Machine::pooling()?.load(component)?;
    let mut session = session(&Engine::builder().pooled(1).build()?, component, Instance::PerEvent)?;
    let content = Content::from(SMALL);
    of_each(
        2_000,
        |events| repeated(events, || bare.start()?.deliver(Event::Set(SMALL.len() as u64))),
        |events| repeated(events, || deliver(&mut session, &content)),
    )
}

/// Times both sides with this number of events in each run. Returns the times of one event.
fn of_each(
    events: u32,
    mut left: impl FnMut(u32) -> Result<Duration>,
    mut right: impl FnMut(u32) -> Result<Duration>,
) -> Result<Paired> {
    let all = Paired::measure(21, || left(events), || right(events))?;
    Ok(Paired { left: all.left / events, right: all.right / events, ..all })
}

/// The time of this number of events. One cold event before them is not timed.
fn repeated(events: u32, mut event: impl FnMut() -> Result<()>) -> Result<Duration> {
    event()?;
    timed(|| (0..events).try_for_each(|_| event()))
}

fn session(engine: &Engine, component: &[u8], instance: Instance) -> Result<Session> {
    let mut personality = Personality::default();
    personality.instance = instance;
    let watcher = kvwatch::Watcher::from_bytes(engine, "the guest", component)?;
    Ok(watcher.session().personality(personality).build())
}

/// Delivers an event with kvwatch. The outcome must be clean.
///
/// # Errors
///
/// When the guest traps, or violates a rule for handles.
pub fn deliver(session: &mut Session, content: &Content) -> Result<()> {
    let outcome = session.set(KEY, content);
    ensure!(outcome.is_clean(), "kvwatch: {:?}, {:?}", outcome.ending, outcome.violations());
    Ok(())
}
