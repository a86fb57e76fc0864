//! Events that a handler with its own queue gets early.

use tokio::sync::Semaphore;

use super::*;
use crate::serve::Permit;

/// A handler like [`Worker`](crate::serve::Worker), in virtual time. All handlers share the threads.
struct Queued {
    log: Log,
    threads: Arc<Semaphore>,
}

impl Handler for Queued {
    const AHEAD: usize = 4;

    async fn handle(&mut self, event: &Event, attempt: u32) -> Outcome {
        handle(self.log.clone(), event.clone(), attempt).await
    }

    async fn handle_with_permit(&mut self, event: &Event, attempt: u32, permit: Permit) -> Option<Outcome> {
        let threads = Arc::clone(&self.threads);
        let _thread = threads.acquire().await.unwrap();
        let _running = permit.begin()?;
        Some(self.handle(event, attempt).await)
    }
}

impl Run {
    fn with_workers(mut self, workers: usize) -> Self {
        self.settings.workers = workers;
        self
    }

    /// The signal comes after this number of milliseconds.
    fn after(mut self, millis: u64, signal: Signal) -> Self {
        self.memory.signals.push_back((Instant::now() + Duration::from_millis(millis), signal));
        self
    }

    async fn queued(self, seconds: u64) -> (Log, Result<Summary, Cause>) {
        let (log, threads) = (self.memory.log.clone(), Arc::new(Semaphore::new(self.settings.workers)));
        self.seconds_of(seconds, || Queued { log: log.clone(), threads: Arc::clone(&threads) }).await
    }
}

/// The first event takes a second, and the others wait for the only worker.
fn one_and_others_behind() -> Run {
    Run::new([event("a", 1), event("b", 2), event("c", 3)]).with_workers(1)
}

#[tokio::test(start_paused = true)]
async fn a_worker_has_its_next_event_at_once_and_one_key_is_still_in_order() {
    let run = Run::new([event("a", 1), event("a", 2), event("b", 3)]).with_workers(1);
    let (log, _) = run.queued(10).await;
    let lines = log.lines();
    assert_eq!(log.place("start 3"), log.place("end 1") + 1, "{lines:?}");
    assert!(log.place("acked 1") < log.place("start 2"), "D2: {lines:?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_does_not_wait_behind_a_slow_one() {
    let run = Run::new([event("long", 1), event("b", 2), event("c", 3), event("d", 4)]).with_workers(2);
    let (log, _) = run.queued(10).await;
    assert!(log.has("acked 2") && log.has("acked 3") && log.has("acked 4"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn d5_an_event_that_waits_for_a_worker_does_not_begin_after_the_gate_closed() {
    let run = one_and_others_behind().after(500, Signal::Close);
    let (log, ended) = run.queued(10).await;
    assert_eq!(log.lines(), ["start 1", "end 1", "ack 1", "acked 1", "close 2 3"]);
    assert_eq!(ended.unwrap(), Summary { given_back: 2, unfinished: 0 });
}

#[tokio::test(start_paused = true)]
async fn d3_an_event_that_did_not_begin_has_all_its_attempts() {
    let mut run = Run::new([event("a", 1), event("trap", 2)]).with_workers(1);
    run.settings.retry.attempts = 2;
    let metrics = Arc::clone(&run.metrics);
    let (log, _) = run.after(500, Signal::Close).after(3000, Signal::Open).queued(20).await;
    let lines = log.lines();
    assert!(log.place("acked 1") < log.place("start 2"), "{lines:?}");
    assert_eq!(lines.iter().filter(|line| *line == "start 2").count(), 2, "{lines:?}");
    assert!(log.has("letter 2 after 2: cause of 2"), "{lines:?}");
    assert_eq!(metrics.snapshot().attempts, 3);
}

#[tokio::test(start_paused = true)]
async fn d5_an_event_that_waits_for_a_worker_is_given_back_when_another_process_works() {
    let (log, _) = one_and_others_behind().after(500, Signal::GiveBack).queued(10).await;
    assert_eq!(log.lines(), ["start 1", "give back 2 3", "end 1", "ack 1", "acked 1", "close "]);
}

#[tokio::test(start_paused = true)]
async fn d5_an_event_that_waits_for_a_worker_is_forgotten_with_the_others() {
    let (log, _) = one_and_others_behind().after(500, Signal::Forget).queued(10).await;
    assert_eq!(log.lines(), ["start 1", "forget 2 3", "end 1", "ack 1", "acked 1", "close "]);
}

/// A withdrawn event that comes again starts while its first handler still waits for a worker.
#[tokio::test(start_paused = true)]
async fn an_event_that_comes_again_begins_once() {
    let run = one_and_others_behind().after(500, Signal::Forget).after(600, delivered(2, "b", 2));
    let (log, ended) = run.queued(10).await;
    assert_eq!(log.lines().iter().filter(|line| *line == "start 2").count(), 1, "{:?}", log.lines());
    assert!(log.has("acked 2"));
    assert_eq!(ended.unwrap(), Summary { given_back: 0, unfinished: 0 });
}

/// The handler of event 1 ends at the moment when the process runs again. So a worker is free before the loop looks at the clock.
#[tokio::test(start_paused = true)]
async fn d5_an_event_that_waits_for_a_worker_does_not_begin_after_the_process_stood_still() {
    let mut run = one_and_others_behind();
    run.memory.lease = Some(Duration::from_secs(2));
    let jump = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        tokio::time::advance(Duration::from_secs(5)).await;
    };
    let ((log, _), ()) = tokio::join!(run.queued(20), jump);
    let lines = log.lines();
    assert!(log.has("end 1") && log.has("forget 2 3"), "{lines:?}");
    assert!(!log.has("start 2") && !log.has("start 3"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn d6_an_event_that_waits_for_a_worker_is_given_back_at_a_shutdown() {
    for (grace, summary, last) in [
        (5, Summary { given_back: 3, unfinished: 1 }, "close 1 2 3"),
        (200, Summary { given_back: 2, unfinished: 0 }, "close 2 3"),
    ] {
        let mut run = Run::new([event("long", 1), event("b", 2), event("c", 3)]).with_workers(1);
        run.settings.grace = Duration::from_secs(grace);
        let metrics = Arc::clone(&run.metrics);
        let (log, ended) = run.queued(10).await;
        let lines = log.lines();
        assert!(!log.has("start 2") && !log.has("start 3"), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some(last));
        assert_eq!(ended.unwrap(), summary);
        assert_eq!(metrics.snapshot().running, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn d6_an_event_that_waits_for_a_worker_is_given_back_when_the_source_fails() {
    let mut run = Run::new([event("a", 1), event("b", 2)]).with_workers(1);
    // The event comes after event 1 has begun.
    run = run.after(500, Signal::Open).after(600, event("c", 3));
    run.memory.fails = true;
    let (log, ended) = run.queued(100).await;
    assert_eq!(log.lines(), ["start 1", "end 1", "ack 1", "acked 1", "close 2 3"]);
    assert!(ended.is_err());
}

#[tokio::test(start_paused = true)]
async fn d3_a_suspect_goes_before_an_event_that_waits_for_a_worker_and_runs_alone() {
    let (log, _) = one_and_others_behind().after(500, delivered(3, "d", 4)).queued(20).await;
    let lines = log.lines();
    assert!(log.place("acked 1") < log.place("start 4"), "{lines:?}");
    assert!(log.place("acked 4") < log.place("start 2"), "{lines:?}");
    assert!(log.has("acked 2") && log.has("acked 3"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn d2_an_older_event_goes_before_one_of_its_key_that_waits_for_a_worker() {
    let run = Run::new([event("a", 1), event("b", 5)]).with_workers(1).after(500, delivered(2, "b", 3));
    let (log, _) = run.queued(20).await;
    assert!(log.place("acked 3") < log.place("start 5"), "{:?}", log.lines());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_waits_for_a_worker_does_not_count_as_running() {
    let run = one_and_others_behind();
    let metrics = Arc::clone(&run.metrics);
    let look = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let snapshot = metrics.snapshot();
        (snapshot.running, snapshot.attempts, snapshot.in_hand)
    };
    let (_, seen) = tokio::join!(run.queued(10), look);
    assert_eq!(seen, (1, 1, 3));
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.running, snapshot.attempts, snapshot.handled), (0, 3, 3));
    assert_eq!(snapshot.handler_time_sum, 3_000_000, "the waits are not in it");
}

/// A handler that panics while it waits is replaced. A handler that breaks the order of the calls loses no event.
#[tokio::test(start_paused = true)]
async fn a_wrong_handler_loses_nothing() {
    struct Wrong(Log);
    impl Handler for Wrong {
        async fn handle(&mut self, _: &Event, _: u32) -> Outcome {
            Outcome::Handled
        }

        async fn handle_with_permit(&mut self, event: &Event, attempt: u32, permit: Permit) -> Option<Outcome> {
            self.0.add(format!("start {} {attempt}", event.position));
            match &*event.key {
                "panics" => panic!("asked to"),
                "never begins" if attempt == 1 => Some(Outcome::Trapped("without a beginning".into())),
                "gives up" => {
                    drop(permit.begin());
                    None
                }
                _ => Some(Outcome::Handled),
            }
        }
    }
    let mut run = Run::new([event("panics", 1), event("never begins", 2), event("gives up", 3)]);
    run.settings.retry.attempts = 2;
    let log = run.memory.log.clone();
    let (log, ended) = run.seconds_of(20, || Wrong(log.clone())).await;
    let lines = log.lines();
    assert!(log.has("letter 1 after 2: the handler panicked"), "{lines:?}");
    assert!(log.has("start 2 2") && log.has("acked 2"), "{lines:?}");
    assert!(log.has("letter 3 after 2: the handler gave up an event that had begun"), "{lines:?}");
    assert_eq!(ended.unwrap(), Summary { given_back: 0, unfinished: 0 });
}
