use std::time::SystemTime;

use super::*;

const LIMIT: Duration = Duration::from_secs(2);

fn terms(limit: Option<Duration>) -> Arc<Terms> {
    Arc::new(Terms { metrics: Arc::default(), lease: Lease::new(limit) })
}

fn running(terms: &Terms) -> (u64, u64) {
    let snapshot = terms.metrics.snapshot();
    (snapshot.running, snapshot.attempts)
}

#[test]
fn an_event_that_was_taken_back_does_not_begin() {
    let terms = terms(None);
    let issued = Issued::new(&terms);
    let permit = issued.permit();
    assert!(issued.recall());
    assert!(permit.begin().is_none());
    assert_eq!((issued.time(), running(&terms)), (None, (0, 0)));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_has_begun_is_not_taken_back() {
    let terms = terms(None);
    let issued = Issued::new(&terms);
    tokio::time::advance(LIMIT).await;
    let runs = issued.permit().begin().unwrap();
    assert!(!issued.recall());
    drop(issued.awaited());
    assert_eq!(running(&terms), (1, 1));
    tokio::time::advance(LIMIT).await;
    drop(runs);
    assert_eq!(running(&terms), (0, 1));
    tokio::time::advance(LIMIT).await;
    assert_eq!(issued.time(), Some(LIMIT), "neither the wait before nor the one after");
}

#[test]
fn an_event_begins_once() {
    let terms = terms(None);
    let issued = Issued::new(&terms);
    let runs = issued.permit().begin();
    assert!(runs.is_some() && issued.permit().begin().is_none());
    assert_eq!(running(&terms), (1, 1));
}

#[test]
fn an_event_whose_outcome_nobody_awaits_does_not_begin() {
    let terms = terms(None);
    let issued = Issued::new(&terms);
    let permit = issued.permit();
    drop(issued.awaited());
    assert!(permit.begin().is_none());
    assert_eq!(running(&terms), (0, 0));
}

/// The first of the two sides decides, and both sides see the same result.
#[test]
fn an_event_either_begins_or_is_taken_back() {
    let terms = terms(None);
    for _ in 0..500 {
        let issued = Issued::new(&terms);
        let permit = issued.permit();
        let begins = std::thread::spawn(move || permit.begin().is_some());
        let recalled = issued.recall();
        assert_ne!(begins.join().unwrap(), recalled);
    }
}

#[tokio::test(start_paused = true)]
async fn d5_an_event_does_not_begin_after_the_loop_stood_still() {
    let terms = terms(Some(LIMIT));
    let begins = || Issued::new(&terms).permit().begin().is_some();
    tokio::time::advance(LIMIT).await;
    assert!(begins());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!begins(), "the loop has not noticed it");
    let look = terms.lease.look();
    assert!(look.lapsed && !begins(), "the loop has not taken back the events");
    terms.lease.turned(&look);
    assert!(begins());
}

#[tokio::test(start_paused = true)]
async fn d5_a_stop_between_a_look_and_the_turn_is_not_missed() {
    let terms = terms(Some(LIMIT));
    let look = terms.lease.look();
    assert!(!look.lapsed);
    tokio::time::advance(LIMIT * 2).await;
    terms.lease.turned(&look);
    assert!(Issued::new(&terms).permit().begin().is_none());
    assert!(terms.lease.look().lapsed);
}

#[tokio::test(start_paused = true)]
async fn d5_a_suspended_machine_is_noticed_by_the_wall_clock() {
    let terms = Terms { metrics: Arc::default(), lease: Lease::since(LIMIT, SystemTime::now() - LIMIT * 2) };
    let issued = Issued::new(&Arc::new(terms));
    assert!(issued.permit().begin().is_none());
}
