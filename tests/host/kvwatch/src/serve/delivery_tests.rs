use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use tokio::sync::{Notify, oneshot};

use super::*;
use crate::serve::{Arrival, Change};

#[path = "ahead_tests.rs"]
mod ahead;

/// A store in memory. It writes its calls to a log that the test reads. The handlers write to the same log.
struct Memory {
    /// Each signal comes at its time.
    signals: VecDeque<(Instant, Signal)>,
    log: Log,
    ack_takes: Duration,
    lease: Option<Duration>,
    capacity: usize,
    fails: bool,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>, Arc<Notify>);

impl Log {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
        self.1.notify_waiters();
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn place(&self, line: &str) -> usize {
        self.lines().iter().position(|it| it == line).unwrap_or_else(|| panic!("no {line} in {:?}", self.lines()))
    }

    fn has(&self, line: &str) -> bool {
        self.lines().iter().any(|it| it == line)
    }
}

impl Source for Memory {
    async fn next(&mut self) -> Result<Signal, Cause> {
        match self.signals.front() {
            Some((due, _)) if *due > Instant::now() => tokio::time::sleep_until(*due).await,
            Some(_) => {}
            None if self.fails => return Err("the store is broken".into()),
            None => std::future::pending().await,
        }
        Ok(self.signals.pop_front().expect("it is there").1)
    }

    fn ack(&mut self, position: Position) -> BoxFuture<'static, Acked> {
        let (log, takes) = (self.log.clone(), self.ack_takes);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            log.add(format!("ack {position}"));
            Acked::Confirmed
        })
    }

    fn acked(&mut self, position: Position) {
        self.log.add(format!("acked {position}"));
    }

    fn give_back(&mut self, positions: &[Position]) {
        self.log.add(format!("give back {}", list(positions)));
    }

    fn forget(&mut self, positions: &[Position]) {
        self.log.add(format!("forget {}", list(positions)));
    }

    fn lease(&self) -> Option<Duration> {
        self.lease
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    async fn close(&mut self, rest: &[Position]) {
        self.log.add(format!("close {}", list(rest)));
    }
}

fn list(positions: &[Position]) -> String {
    positions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn event(key: &str, sequence: u64) -> Signal {
    delivered(1, key, sequence)
}

fn delivered(deliveries: u64, key: &str, sequence: u64) -> Signal {
    let event = Event { position: Position::first(sequence), key: key.into(), change: Change::Delete, depth: 0 };
    Signal::Event(Arrival { event, deliveries })
}

/// Dead letters whose first writes fail.
struct Letters(Log, Mutex<u32>);

impl DeadLetters for Letters {
    fn bury(&self, letter: Arc<Letter>) -> BoxFuture<'_, Result<(), Cause>> {
        Box::pin(async move {
            let mut failures = self.1.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                self.0.add("disk full");
                return Err("disk full".into());
            }
            self.0.add(format!("letter {} after {}: {}", letter.event.position, letter.attempts, letter.cause));
            Ok(())
        })
    }
}

/// A delivery of signals for some seconds of virtual time. A handler takes one second. The key decides what it
/// does: `trap…` traps, `panic…` panics, `once…` traps at the first attempt, `long…` takes 100 s.
struct Run {
    memory: Memory,
    settings: Settings,
    disk_full: u32,
    metrics: Arc<Metrics>,
}

impl Run {
    fn new(signals: impl IntoIterator<Item = Signal>) -> Self {
        let memory = Memory {
            signals: signals.into_iter().map(|signal| (Instant::now(), signal)).collect(),
            log: Log::default(),
            ack_takes: Duration::from_millis(500),
            lease: None,
            capacity: 100,
            fails: false,
        };
        Self { memory, settings: Settings::with_workers(4), disk_full: 0, metrics: Arc::default() }
    }

    async fn seconds(self, seconds: u64) -> (Log, Result<Summary, Cause>) {
        let log = self.memory.log.clone();
        let new_worker = move || {
            let log = log.clone();
            move |event: &Event, attempt: u32| handle(log.clone(), event.clone(), attempt)
        };
        self.seconds_of(seconds, new_worker).await
    }

    async fn seconds_of<H: Handler>(
        mut self,
        seconds: u64,
        new_worker: impl FnMut() -> H,
    ) -> (Log, Result<Summary, Cause>) {
        let log = self.memory.log.clone();
        let letters = Arc::new(Letters(log.clone(), Mutex::new(self.disk_full)));
        let stop = tokio::time::sleep(Duration::from_secs(seconds));
        let ended = deliver(&mut self.memory, new_worker, &self.settings, letters, self.metrics, stop).await;
        (log, ended)
    }
}

async fn handle(log: Log, event: Event, attempt: u32) -> Outcome {
    let Event { position, key, .. } = event;
    log.add(format!("start {position}"));
    assert!(!key.starts_with("panic"), "asked to");
    tokio::time::sleep(Duration::from_secs(if key.starts_with("long") { 100 } else { 1 })).await;
    if key.starts_with("trap") || key.starts_with("once") && attempt == 1 {
        return Outcome::Trapped(format!("cause of {position}"));
    }
    log.add(format!("end {position}"));
    Outcome::Handled
}

#[tokio::test(start_paused = true)]
async fn d1_an_event_is_acked_after_its_handler_returned() {
    let (log, ended) = Run::new([event("a", 1)]).seconds(10).await;
    assert_eq!(log.lines(), ["start 1", "end 1", "ack 1", "acked 1", "close "]);
    assert_eq!(ended.unwrap(), Summary { given_back: 0, unfinished: 0 });
}

#[tokio::test(start_paused = true)]
async fn d2_a_key_is_in_order_and_waits_for_the_ack_and_keys_run_in_parallel() {
    let (log, _) = Run::new([event("a", 1), event("a", 2), event("b", 3)]).seconds(10).await;
    assert!(log.place("start 3") < log.place("end 1"), "{:?}", log.lines());
    assert!(log.place("acked 1") < log.place("start 2"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn d2_a_worker_is_free_as_soon_as_its_handler_returned() {
    let mut run = Run::new([event("a", 1), event("b", 2)]);
    run.settings.workers = 1;
    let (log, _) = run.seconds(10).await;
    assert!(log.place("end 1") < log.place("start 2"));
    assert!(log.place("start 2") < log.place("ack 1"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn d3_a_trapped_event_is_tried_again_and_holds_its_key_only() {
    let (log, _) = Run::new([event("once", 1), event("once", 2), event("b", 3), event("b", 4)]).seconds(20).await;
    let lines = log.lines();
    assert_eq!(lines.iter().filter(|line| *line == "start 1").count(), 2, "{lines:?}");
    assert!(log.place("acked 1") < log.place("start 2"));
    assert!(log.has("acked 4"));
}

/// In virtual time, a loop that turns without effect never ends.
#[tokio::test(start_paused = true)]
async fn d3_a_retry_that_is_due_waits_for_a_worker_without_turning_the_loop() {
    let mut run = Run::new([event("once", 1), event("long", 2)]);
    run.settings.workers = 1;
    let (log, _) = run.seconds(300).await;
    assert!(log.place("end 2") < log.place("end 1"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn d3_a_panic_is_a_trap_and_the_worker_is_replaced() {
    let mut run = Run::new([event("panic", 1), event("a", 2)]);
    run.settings.workers = 1;
    let (log, _) = run.seconds(60).await;
    assert!(log.has("letter 1 after 5: the handler panicked"), "{:?}", log.lines());
    assert!(log.has("acked 2"));
}

#[tokio::test(start_paused = true)]
async fn d3_a_panic_before_there_is_a_future_is_a_trap_too() {
    let mut run = Run::new([event("a", 1)]);
    run.settings.retry.attempts = 2;
    let new_worker = || {
        |event: &Event, attempt: u32| {
            assert!(attempt > 1, "asked to, at {}", event.position);
            std::future::ready(Outcome::Handled)
        }
    };
    let letters = Arc::new(Letters(run.memory.log.clone(), Mutex::new(0)));
    let stop = tokio::time::sleep(Duration::from_secs(10));
    let ended = deliver(&mut run.memory, new_worker, &run.settings, letters, Arc::clone(&run.metrics), stop).await;
    assert_eq!(ended.unwrap(), Summary { given_back: 0, unfinished: 0 });
    assert_eq!(run.memory.log.lines(), ["ack 1", "acked 1", "close "]);
    assert_eq!(run.metrics.snapshot().trapped, 1);
}

#[tokio::test(start_paused = true)]
async fn d4_an_event_without_attempts_left_is_a_dead_letter_before_its_ack() {
    let mut run = Run::new([event("trap", 1), event("trap", 2)]);
    run.settings.retry.attempts = 3;
    let (log, _) = run.seconds(60).await;
    assert!(log.place("letter 1 after 3: cause of 1") < log.place("ack 1"), "{:?}", log.lines());
    assert!(log.place("acked 1") < log.place("start 2"));
}

#[tokio::test(start_paused = true)]
async fn d4_a_letter_that_cannot_be_written_is_no_ack() {
    let mut run = Run::new([event("trap", 1)]);
    run.settings.retry.attempts = 1;
    run.disk_full = 4;
    let metrics = Arc::clone(&run.metrics);
    let (log, _) = run.seconds(60).await;
    assert_eq!(log.lines()[1..5], ["disk full"; 4]);
    assert!(log.place("letter 1 after 1: cause of 1") < log.place("ack 1"));
    assert_eq!((metrics.snapshot().dead_letters, metrics.snapshot().dead_letter_failures), (1, 4));
    // A disk that stays full to the end: the event goes back.
    let mut run = Run::new([event("trap", 1)]);
    run.settings.retry.attempts = 1;
    run.disk_full = u32::MAX;
    let (log, ended) = run.seconds(60).await;
    assert!(log.has("close 1") && !log.has("ack 1"));
    assert_eq!(ended.unwrap().given_back, 1);
}

#[tokio::test(start_paused = true)]
async fn d5_nothing_starts_while_the_source_says_close() {
    let (log, _) = Run::new([Signal::Close, event("a", 1), event("b", 2)]).seconds(10).await;
    assert_eq!(log.lines(), ["close 1 2"]);
    let (log, _) = Run::new([Signal::Close, event("a", 2), event("a", 1), Signal::Open]).seconds(10).await;
    assert!(log.place("acked 1") < log.place("start 2"));
}

#[tokio::test(start_paused = true)]
async fn d5_what_has_not_started_goes_back_when_another_process_works() {
    let (log, _) =
        Run::new([event("a", 1), event("a", 2), event("b", 3), Signal::Close, Signal::GiveBack]).seconds(10).await;
    // The turn of the loop decides whether 1 and 3 had started. No event is both given back and handled.
    let lines = log.lines();
    let back: BTreeSet<&str> =
        lines.iter().filter_map(|it| it.strip_prefix("give back ")).flat_map(|it| it.split(' ')).collect();
    assert!(back.contains("2"), "{lines:?}");
    for sequence in ["1", "2", "3"] {
        assert_ne!(back.contains(sequence), log.has(&format!("acked {sequence}")), "{lines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn d5_a_process_that_stood_still_forgets_what_has_not_started() {
    let mut run = Run::new([event("a", 1), event("a", 2)]);
    run.memory.lease = Some(Duration::from_secs(2));
    // A clock that jumps looks like a process that was stopped.
    let jump = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        tokio::time::advance(Duration::from_secs(5)).await;
    };
    let ((log, _), ()) = tokio::join!(run.seconds(20), jump);
    assert!(log.has("forget 2") && log.has("acked 1") && !log.has("start 2"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn d6_a_shutdown_starts_nothing_finishes_and_gives_back_in_order() {
    let mut run = Run::new([event("a", 1), event("a", 3), event("long", 2), event("once", 4)]);
    run.settings.grace = Duration::from_secs(5);
    let (log, ended) = {
        run.memory.ack_takes = Duration::from_millis(100);
        let (sender, receiver) = oneshot::channel::<()>();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(sender);
        };
        let letters = Arc::new(Letters(run.memory.log.clone(), Mutex::new(0)));
        let log = run.memory.log.clone();
        let for_workers = log.clone();
        let new_worker = move || {
            let log = for_workers.clone();
            move |event: &Event, attempt: u32| handle(log.clone(), event.clone(), attempt)
        };
        let until = async { drop(receiver.await) };
        let delivery = deliver(&mut run.memory, new_worker, &run.settings, letters, run.metrics, until);
        let (ended, ()) = tokio::join!(delivery, stop);
        (log, ended.unwrap())
    };
    assert!(log.has("acked 1"), "its ack is waited for: {:?}", log.lines());
    assert!(!log.has("start 3"));
    assert!(log.has("close 2 3 4"), "ascending: {:?}", log.lines());
    assert_eq!(ended, Summary { given_back: 3, unfinished: 1 });
}

#[tokio::test(start_paused = true)]
async fn d7_no_more_than_the_capacity_is_in_hand() {
    let mut run = Run::new((1..=50).map(|sequence| event("long", sequence)));
    run.memory.capacity = 7;
    let metrics = Arc::clone(&run.metrics);
    let (_, ended) = run.seconds(10).await;
    assert_eq!(ended.unwrap().given_back, 7);
    assert_eq!(metrics.snapshot().received, 7);
}

#[tokio::test(start_paused = true)]
async fn a_broken_source_is_an_error_after_an_orderly_end() {
    let mut run = Run::new([event("a", 1)]);
    run.memory.fails = true;
    let (log, ended) = run.seconds(1000).await;
    assert_eq!(ended.unwrap_err().to_string(), "the store is broken");
    assert!(log.has("close 1") || log.has("acked 1"));
}
