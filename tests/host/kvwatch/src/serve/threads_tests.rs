use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::super::permit::{Issued, Terms};
use super::*;
use crate::serve::{Change, Position};

const LIMIT: Duration = Duration::from_secs(30);

fn event(key: &str) -> Event {
    Event { position: Position::first(1), key: key.into(), change: Change::Delete, depth: 0 }
}

/// A gate that the test opens for the handler of `slow`.
struct Gate(mpsc::Sender<()>);

/// Threads whose handler waits for the gate at `slow`, panics at `panic`, and reports its thread and the key of each event.
fn threads(most: usize) -> (Threads, Gate, mpsc::Receiver<String>) {
    let (open, gate) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let number = AtomicUsize::new(0);
    let threads = Threads::new(most, move || {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let (gate, tell) = (Arc::clone(&gate), tell.clone());
        Box::new(move |event, _| {
            tell.send(format!("{number} {}", event.key)).unwrap();
            if event.key.starts_with("slow") {
                gate.lock().unwrap().recv_timeout(LIMIT).unwrap();
            }
            assert!(!event.key.ends_with("panic"), "asked to");
            Outcome::Handled
        })
    });
    (threads, Gate(open), told)
}

fn queue(threads: &Threads, key: &str) -> oneshot::Receiver<Option<Outcome>> {
    threads.queue(event(key), 1, Permit::always())
}

/// Waits for an outcome. It is an error if the thread panicked in the event.
async fn end(outcome: oneshot::Receiver<Option<Outcome>>) -> Result<Option<Outcome>, oneshot::error::RecvError> {
    tokio::time::timeout(LIMIT, outcome).await.expect("the event must end")
}

#[tokio::test]
async fn an_event_does_not_wait_behind_a_slow_one_while_a_thread_is_free() {
    let (threads, gate, told) = threads(2);
    let slow = queue(&threads, "slow");
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), "0 slow");
    let behind: Vec<_> = ["a", "b", "c"].iter().map(|key| queue(&threads, key)).collect();
    for outcome in behind {
        assert_eq!(end(outcome).await.unwrap(), Some(Outcome::Handled));
    }
    assert_eq!([(); 3].map(|()| told.recv_timeout(LIMIT).unwrap()), ["1 a", "1 b", "1 c"]);
    gate.0.send(()).unwrap();
    assert_eq!(end(slow).await.unwrap(), Some(Outcome::Handled));
}

#[tokio::test]
async fn there_are_no_more_threads_than_asked_for() {
    let (threads, gate, told) = threads(1);
    let slow = queue(&threads, "slow");
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), "0 slow");
    let behind = queue(&threads, "a");
    gate.0.send(()).unwrap();
    assert_eq!(end(slow).await.unwrap(), Some(Outcome::Handled));
    assert_eq!(end(behind).await.unwrap(), Some(Outcome::Handled));
    assert_eq!(told.recv_timeout(LIMIT).unwrap(), "0 a");
}

#[tokio::test]
async fn the_events_behind_one_that_panics_run_on_a_new_thread() {
    let (threads, gate, told) = threads(1);
    let panics = queue(&threads, "slow panic");
    let behind: Vec<_> = ["a", "b"].iter().map(|key| queue(&threads, key)).collect();
    gate.0.send(()).unwrap();
    assert!(end(panics).await.is_err());
    for outcome in behind {
        assert_eq!(end(outcome).await.unwrap(), Some(Outcome::Handled));
    }
    assert_eq!([(); 3].map(|()| told.recv_timeout(LIMIT).unwrap()), ["0 slow panic", "1 a", "1 b"]);
}

#[tokio::test]
async fn a_thread_that_cannot_begin_fails_its_events_and_comes_again() {
    let tries = AtomicUsize::new(0);
    let threads = Threads::new(1, move || {
        assert!(tries.fetch_add(1, Ordering::Relaxed) >= 2, "asked to");
        Box::new(|_, _| Outcome::Handled)
    });
    let outcomes: Vec<_> = ["a", "b", "c"].iter().map(|key| queue(&threads, key)).collect();
    let mut handled = Vec::new();
    for outcome in outcomes {
        handled.push(end(outcome).await.is_ok());
    }
    assert_eq!(handled, [false, false, true]);
}

#[tokio::test]
async fn an_event_that_was_taken_back_while_it_waited_does_not_begin() {
    let (threads, gate, told) = threads(1);
    let slow = queue(&threads, "slow");
    let issued = Issued::new(&Arc::new(Terms::default()));
    let taken = threads.queue(event("a"), 1, issued.permit());
    let behind = queue(&threads, "b");
    assert!(issued.recall());
    gate.0.send(()).unwrap();
    assert_eq!(end(slow).await.unwrap(), Some(Outcome::Handled));
    assert_eq!(end(taken).await.unwrap(), None);
    assert_eq!(end(behind).await.unwrap(), Some(Outcome::Handled));
    assert_eq!([(); 2].map(|()| told.recv_timeout(LIMIT).unwrap()), ["0 slow", "0 b"]);
}

/// The handler owns the sender, so the channel closes when the threads have ended.
#[tokio::test]
async fn threads_end_with_the_event_that_they_are_at() {
    let (threads, gate, told) = threads(2);
    let slow = queue(&threads, "slow");
    let (a, b) = (queue(&threads, "slow 2"), queue(&threads, "b"));
    assert_eq!([(); 2].map(|()| told.recv_timeout(LIMIT).is_ok()), [true; 2]);
    drop(threads);
    assert!(end(b).await.is_err(), "it did not begin");
    gate.0.send(()).unwrap();
    gate.0.send(()).unwrap();
    assert_eq!((end(slow).await.unwrap(), end(a).await.unwrap()), (Some(Outcome::Handled), Some(Outcome::Handled)));
    assert_eq!(told.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
}
