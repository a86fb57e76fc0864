use super::*;
use crate::engine::Engine;
use crate::serve::Position;

/// A watcher that traps at each delete and returns from each set.
const TRAPS_AT_DELETE: &str = include_str!("traps_at_delete.wat");

fn event(change: Change) -> Event {
    Event { position: Position::first(1), key: "a".into(), change }
}

fn crew(fresh: bool) -> Crew {
    let engine = Engine::new().unwrap();
    Crew::new(Watcher::from_bytes(&engine, "test", &wat::parse_str(TRAPS_AT_DELETE).unwrap()).unwrap(), fresh)
}

#[tokio::test]
async fn a_worker_tells_a_trap_from_a_return_and_goes_on() {
    let crew = crew(false);
    let mut worker = crew.worker();
    let set = event(Change::Set("v".into()));
    assert_eq!(worker.handle(&set, 1).await, Outcome::Handled);
    assert_eq!(worker.handle(&set, 1).await, Outcome::Handled);
    assert_eq!(crew.usage().instances.load(Ordering::Relaxed), 1);
    let Outcome::Trapped(cause) = worker.handle(&event(Change::Delete), 1).await else { panic!() };
    assert!(cause.contains("unreachable"), "{cause}");
    assert_eq!(worker.handle(&set, 1).await, Outcome::Handled);
    assert_eq!(crew.usage().instances.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn with_fresh_each_event_has_an_instance() {
    let crew = crew(true);
    let mut worker = crew.worker();
    for _ in 0..3 {
        assert_eq!(worker.handle(&event(Change::Set("v".into())), 1).await, Outcome::Handled);
    }
    assert_eq!(crew.usage().instances.load(Ordering::Relaxed), 3);
}
