use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::serve::Change;

fn arrival(key: &str, sequence: u64, deliveries: u64) -> Arrival {
    Arrival {
        event: Event { position: Position::first(sequence), key: key.into(), change: Change::Delete, depth: 0 },
        deliveries,
    }
}

fn schedule(events: &[(&str, u64, u64)]) -> Schedule {
    let mut schedule = Schedule::new(Retry { attempts: 3, ..Retry::default() }, 5);
    for (key, sequence, deliveries) in events {
        let _ = schedule.insert(arrival(key, *sequence, *deliveries));
    }
    schedule
}

fn starts(schedule: &mut Schedule, now: Instant) -> Vec<u64> {
    std::iter::from_fn(|| schedule.start(now)).map(|start| start.event.position.sequence).collect()
}

fn end(schedule: &mut Schedule, sequence: u64) {
    schedule.ending(Position::first(sequence));
    schedule.ended(Position::first(sequence));
}

#[tokio::test(start_paused = true)]
async fn d2_events_of_a_key_start_one_after_another() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 1, 1), ("a", 2, 1), ("b", 3, 1)]);
    assert_eq!(starts(&mut schedule, now), [1, 3]);
    schedule.ending(Position::first(1));
    assert_eq!(starts(&mut schedule, now), [] as [u64; 0], "the ack of 1 is not confirmed");
    schedule.ended(Position::first(1));
    assert_eq!(starts(&mut schedule, now), [2]);
}

#[tokio::test(start_paused = true)]
async fn d2_events_that_come_out_of_order_start_in_order() {
    let mut schedule = schedule(&[("a", 3, 1), ("a", 4, 1), ("a", 2, 2), ("b", 1, 1)]);
    assert_eq!(starts(&mut schedule, Instant::now()), [1, 2]);
    end(&mut schedule, 2);
    assert_eq!(starts(&mut schedule, Instant::now()), [3]);
}

#[tokio::test(start_paused = true)]
async fn d2_an_event_that_comes_twice_is_one_event() {
    let mut schedule = schedule(&[("a", 1, 1), ("a", 1, 2)]);
    assert_eq!(starts(&mut schedule, Instant::now()), [1]);
    end(&mut schedule, 1);
    assert!(schedule.is_empty());
    assert!(schedule.keys.is_empty(), "a key without events takes no memory");
}

#[tokio::test(start_paused = true)]
async fn d3_later_events_of_a_trapped_key_wait_and_others_do_not() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 1, 1), ("a", 2, 1)]);
    assert_eq!(starts(&mut schedule, now), [1]);
    let Trapped::Again(wait) = schedule.trapped(Position::first(1), now) else { panic!() };
    let _ = schedule.insert(arrival("b", 3, 1));
    assert_eq!(starts(&mut schedule, now + wait / 2), [3]);
    assert_eq!(schedule.next_retry(), Some(now + wait));
    let start = schedule.start(now + wait).unwrap();
    assert_eq!((start.event.position.sequence, start.attempt), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn d3_attempts_end() {
    let mut now = Instant::now();
    let mut schedule = schedule(&[("a", 1, 1)]);
    for attempt in 1..=3 {
        assert_eq!(schedule.start(now).unwrap().attempt, attempt);
        let trapped = schedule.trapped(Position::first(1), now);
        assert_eq!(matches!(trapped, Trapped::Again(_)), attempt < 3, "{trapped:?}");
        now += Duration::from_mins(1);
    }
    assert!(schedule.start(now).is_none(), "it is still running until it is a dead letter");
}

#[tokio::test(start_paused = true)]
async fn d3_third_deliveries_run_alone_in_stream_order() {
    let now = Instant::now();
    let mut schedule = schedule(&[("c", 9, 3), ("b", 5, 3), ("a", 1, 1), ("d", 6, 2)]);
    assert_eq!(starts(&mut schedule, now), [5]);
    let Trapped::Again(wait) = schedule.trapped(Position::first(5), now) else { panic!() };
    assert_eq!(starts(&mut schedule, now), [] as [u64; 0], "the other suspects wait for its attempts");
    assert_eq!(starts(&mut schedule, now + wait), [5]);
    end(&mut schedule, 5);
    assert_eq!(starts(&mut schedule, now), [9]);
    end(&mut schedule, 9);
    assert_eq!(starts(&mut schedule, now), [1, 6]);
}

#[tokio::test(start_paused = true)]
async fn d3_an_older_event_of_a_suspects_key_comes_first() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 4, 3), ("a", 2, 1), ("b", 1, 1)]);
    assert_eq!(starts(&mut schedule, now), [2]);
    end(&mut schedule, 2);
    assert_eq!(starts(&mut schedule, now), [4]);
}

#[tokio::test(start_paused = true)]
async fn d3_only_the_lowest_pending_event_is_blamed_and_only_at_a_takeover() {
    let blamed = |schedule: &mut Schedule| {
        let mut blamed = Vec::new();
        while let Some(start) = schedule.start(Instant::now()) {
            let sequence = start.event.position.sequence;
            blamed.extend(start.blamed.then_some(sequence));
            end(schedule, sequence);
        }
        blamed
    };
    let events = [("a", 1, 6), ("b", 2, 6), ("c", 3, 9)];
    let mut without = schedule(&events);
    assert_eq!(blamed(&mut without), [] as [u64; 0], "there was no takeover");
    let mut with = schedule(&events);
    with.open();
    assert_eq!(blamed(&mut with), [1]);
    let mut innocent = schedule(&[("a", 1, 5), ("b", 2, 9)]);
    innocent.open();
    assert_eq!(blamed(&mut innocent), [] as [u64; 0], "the lowest one has not enough deliveries");
}

#[tokio::test(start_paused = true)]
async fn d3_deliveries_to_a_living_process_are_not_held_against_an_event() {
    let mut schedule = schedule(&[("a", 1, 1), ("b", 2, 1)]);
    schedule.close();
    // After each lost connection all events come again, and the second event comes twice.
    for time in 1..20 {
        schedule.withdraw();
        let _ = schedule.insert(arrival("a", 1, time + 1));
        let _ = schedule.insert(arrival("b", 2, 2 * time));
        let _ = schedule.insert(arrival("b", 2, 2 * time + 1));
    }
    schedule.open();
    let now = Instant::now();
    let first = schedule.start(now).unwrap();
    assert!(!first.blamed, "{first:?}");
    assert_eq!(starts(&mut schedule, now), [2], "neither is a suspect");

    // Six other processes had the events in between.
    schedule.close();
    end(&mut schedule, 1);
    end(&mut schedule, 2);
    let _ = schedule.insert(arrival("c", 3, 1));
    schedule.withdraw();
    let _ = schedule.insert(arrival("c", 3, 8));
    schedule.open();
    assert!(schedule.start(now).unwrap().blamed);
}

#[tokio::test(start_paused = true)]
async fn d3_what_a_process_remembers_of_withdrawn_events_is_bounded() {
    let mut schedule = schedule(&[]);
    for sequence in 1..=3_000 {
        let _ = schedule.insert(arrival("a", sequence, 1));
    }
    schedule.withdraw();
    assert_eq!(schedule.survived.len(), REMEMBERED);
    assert!(schedule.survived.contains_key(&1), "the lowest events are remembered");
}

#[tokio::test(start_paused = true)]
async fn d5_nothing_starts_while_closed() {
    let mut schedule = schedule(&[("a", 1, 1)]);
    schedule.close();
    assert!(schedule.start(Instant::now()).is_none());
    schedule.open();
    assert_eq!(starts(&mut schedule, Instant::now()), [1]);
}

#[tokio::test(start_paused = true)]
async fn d5_withdrawn_events_are_forgotten_and_running_ones_are_not_tried_again() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 1, 1), ("b", 2, 1), ("c", 3, 1), ("a", 4, 1)]);
    assert_eq!(starts(&mut schedule, now), [1, 2, 3]);
    schedule.trapped(Position::first(2), now);
    schedule.ending(Position::first(3));
    assert_eq!(schedule.withdraw(), [Position::first(2), Position::first(4)]);
    assert_eq!(schedule.trapped(Position::first(1), now), Trapped::Withdrawn);
    schedule.ended(Position::first(3));
    assert!(schedule.is_empty());
    assert_eq!(schedule.next_retry(), None);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_put_back_starts_again_as_if_it_had_never_started() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 1, 1), ("a", 2, 1)]);
    assert_eq!(starts(&mut schedule, now), [1]);
    assert!(!schedule.put_back(Position::first(1)));
    let start = schedule.start(now).unwrap();
    assert_eq!((start.event.position.sequence, start.attempt), (1, 1));
    assert_eq!(starts(&mut schedule, now), [] as [u64; 0], "it holds its key");
    schedule.trapped(Position::first(1), now);
    let later = now + Duration::from_mins(1);
    assert_eq!(schedule.start(later).unwrap().attempt, 2);
    assert!(!schedule.put_back(Position::first(1)));
    assert_eq!(schedule.start(later).unwrap().attempt, 2, "the attempt before counts");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_withdrawn_before_it_is_put_back_is_forgotten() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 1, 1)]);
    assert_eq!(starts(&mut schedule, now), [1]);
    assert_eq!(schedule.withdraw(), []);
    assert!(schedule.put_back(Position::first(1)));
    assert!(schedule.is_empty());
    assert!(!schedule.put_back(Position::first(1)), "it is not here");
}

#[tokio::test(start_paused = true)]
async fn an_event_tells_that_it_goes_before_events_that_have_started() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 5, 1), ("b", 6, 1)]);
    assert_eq!(starts(&mut schedule, now), [5, 6]);
    assert!(!schedule.insert(arrival("a", 7, 1)), "a newer one of the key");
    assert!(!schedule.insert(arrival("c", 1, 1)), "an older one of another key");
    assert!(schedule.insert(arrival("a", 4, 1)), "an older one of the key");
    assert!(schedule.insert(arrival("d", 8, 3)), "a suspect");
    assert!(!schedule.insert(arrival("d", 8, 4)), "it is here already");
    assert!(!schedule.put_back(Position::first(5)));
    end(&mut schedule, 6);
    assert_eq!(starts(&mut schedule, now), [8], "alone");
    end(&mut schedule, 8);
    assert_eq!(starts(&mut schedule, now), [1, 4]);
}

/// A random step of a schedule.
#[derive(Clone, Debug)]
enum Step {
    Insert {
        key: u8,
        deliveries: u64,
    },
    /// An event that was withdrawn comes again.
    Return {
        which: usize,
    },
    Start,
    PutBack {
        which: usize,
    },
    Handled {
        which: usize,
    },
    Trapped {
        which: usize,
    },
    Confirmed {
        which: usize,
    },
    Close,
    Open,
    Withdraw,
    Time {
        millis: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5u8, 1..7u64).prop_map(|(key, deliveries)| Step::Insert { key, deliveries }),
        2 => any::<usize>().prop_map(|which| Step::Return { which }),
        6 => Just(Step::Start),
        1 => any::<usize>().prop_map(|which| Step::PutBack { which }),
        3 => any::<usize>().prop_map(|which| Step::Handled { which }),
        2 => any::<usize>().prop_map(|which| Step::Trapped { which }),
        3 => any::<usize>().prop_map(|which| Step::Confirmed { which }),
        1 => Just(Step::Close),
        2 => Just(Step::Open),
        1 => Just(Step::Withdraw),
        2 => (0..2000u64).prop_map(|millis| Step::Time { millis }),
    ]
}

fn pick(from: &BTreeSet<u64>, which: usize) -> Option<u64> {
    from.iter().nth(which % from.len().max(1)).copied()
}

proptest! {
    /// The rules against a model of sets. No event is lost. A key runs one event at a time and in order. Suspects run alone. No
    /// event starts while the schedule is closed. In the end all events end.
    #[test]
    fn d2_d3_d5_hold_for_random_schedules(steps in proptest::collection::vec(step(), 1..200)) {
        let mut now = Instant::now();
        let mut schedule = schedule(&[]);
        let mut keys = Vec::<u8>::new();
        // The first delivery of an event here has any number. The later ones have not killed this process.
        let mut deliveries = Vec::<u64>::new();
        let mut returns = Vec::<u64>::new();
        let (mut store, mut idle, mut running, mut ending) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        // The events that run here and belong to another process.
        let mut withdrawn = BTreeSet::new();
        let mut open = true;
        let mut lost = BTreeSet::new();
        for step in steps.into_iter().chain([Step::Open]) {
            match step {
                Step::Insert { key, deliveries: count } => {
                    let sequence = keys.len() as u64;
                    keys.push(key);
                    deliveries.push(count);
                    returns.push(0);
                    let _ = schedule.insert(arrival(&key.to_string(), sequence, count));
                    idle.insert(sequence);
                }
                Step::Return { which } => if let Some(sequence) = pick(&store, which) {
                    store.remove(&sequence);
                    let index = usize::try_from(sequence).unwrap();
                    returns[index] += 1;
                    let _ = schedule.insert(arrival(&keys[index].to_string(), sequence, deliveries[index] + returns[index]));
                    idle.insert(sequence);
                },
                Step::Start => if let Some(start) = schedule.start(now) {
                    prop_assert!(open);
                    let sequence = start.event.position.sequence;
                    prop_assert!(idle.remove(&sequence));
                    let key = |it: &u64| keys[usize::try_from(*it).unwrap()];
                    prop_assert!(!running.iter().chain(&ending).any(|it| key(it) == key(&sequence)));
                    prop_assert!(!idle.range(..sequence).any(|it| key(it) == key(&sequence)));
                    let suspects = idle.iter().chain([&sequence]).any(|it| deliveries[usize::try_from(*it).unwrap()] >= 3);
                    prop_assert!(!suspects || running.is_empty() && ending.is_empty());
                    running.insert(sequence);
                },
                Step::PutBack { which } => if let Some(sequence) = pick(&running, which) {
                    running.remove(&sequence);
                    let gone = schedule.put_back(Position::first(sequence));
                    prop_assert_eq!(gone, withdrawn.remove(&sequence));
                    if gone { store.insert(sequence) } else { idle.insert(sequence) };
                },
                Step::Handled { which } => if let Some(sequence) = pick(&running, which) {
                    running.remove(&sequence);
                    withdrawn.remove(&sequence);
                    schedule.ending(Position::first(sequence));
                    ending.insert(sequence);
                },
                Step::Trapped { which } => if let Some(sequence) = pick(&running, which) {
                    running.remove(&sequence);
                    withdrawn.remove(&sequence);
                    match schedule.trapped(Position::first(sequence), now) {
                        Trapped::Again(_) => { idle.insert(sequence); }
                        Trapped::Exhausted => { schedule.ending(Position::first(sequence)); ending.insert(sequence); }
                        Trapped::Withdrawn => { store.insert(sequence); }
                    }
                },
                Step::Confirmed { which } => if let Some(sequence) = pick(&ending, which) {
                    ending.remove(&sequence);
                    schedule.ended(Position::first(sequence));
                    lost.insert(sequence);
                },
                Step::Close => { schedule.close(); open = false; }
                Step::Open => { schedule.open(); open = true; }
                Step::Withdraw => {
                    let forgotten: BTreeSet<u64> = schedule.withdraw().iter().map(|it| it.sequence).collect();
                    prop_assert_eq!(&forgotten, &idle);
                    withdrawn.clone_from(&running);
                    store.extend(std::mem::take(&mut idle));
                }
                Step::Time { millis } => now += Duration::from_millis(millis),
            }
            prop_assert_eq!(schedule.len(), idle.len() + running.len() + ending.len());
        }
        // Without traps, and with enough time, all events in hand end.
        for sequence in running.into_iter().chain(ending) {
            end(&mut schedule, sequence);
        }
        now += Duration::from_hours(1);
        while let Some(start) = schedule.start(now) {
            end(&mut schedule, start.event.position.sequence);
        }
        prop_assert!(schedule.is_empty());
        prop_assert!(schedule.keys.is_empty() && schedule.ready.is_empty() && schedule.suspects.is_empty());
        prop_assert_eq!(schedule.busy, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn d2_an_older_event_that_comes_late_waits_for_the_newer_one_that_runs() {
    let now = Instant::now();
    let mut schedule = schedule(&[("a", 5, 1)]);
    assert_eq!(starts(&mut schedule, now), [5]);
    let _ = schedule.insert(arrival("a", 3, 1));
    assert_eq!(starts(&mut schedule, now), [] as [u64; 0]);
    end(&mut schedule, 5);
    assert_eq!(starts(&mut schedule, now), [3]);
}
