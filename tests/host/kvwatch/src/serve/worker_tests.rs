use std::sync::Mutex;

use inbound_keyvalue_host::store::MemoryStore;

use super::*;
use crate::engine::Engine;
use crate::serve::Position;
use crate::stores::Depth;

/// A watcher that traps at each delete and returns from each set.
const TRAPS_AT_DELETE: &str = include_str!("traps_at_delete.wat");

/// Its only statement that ends a payload.
const DROPS_THE_PAYLOAD: &str = "(call $drop-payload (local.get $payload))";

fn event(change: Change) -> Event {
    Event { position: Position::first(1), key: "a".into(), change, depth: 0 }
}

fn crew(fresh: bool) -> Crew {
    Crew::new(watcher(&Engine::new().unwrap(), TRAPS_AT_DELETE), fresh)
}

fn watcher(engine: &Engine, text: &str) -> Watcher {
    Watcher::from_bytes(engine, "test", &wat::parse_str(text).unwrap()).unwrap()
}

#[tokio::test]
async fn a_worker_tells_a_trap_from_a_return_and_goes_on() {
    let crew = crew(false);
    let mut worker = crew.workers(1).worker();
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
    let mut worker = crew.workers(1).worker();
    for _ in 0..3 {
        assert_eq!(worker.handle(&event(Change::Set("v".into())), 1).await, Outcome::Handled);
    }
    assert_eq!(crew.usage().instances.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_new_watcher_takes_the_next_event_in_a_fresh_instance() {
    let crew = crew(false);
    let mut worker = crew.workers(1).worker();
    let set = event(Change::Set("v".into()));
    assert_eq!(worker.handle(&set, 1).await, Outcome::Handled);
    let traps_at_sets = TRAPS_AT_DELETE.replace(DROPS_THE_PAYLOAD, "unreachable");
    crew.replace(watcher(&crew.engine(), &traps_at_sets));
    let Outcome::Trapped(cause) = worker.handle(&set, 1).await else { panic!("the old watcher goes on") };
    assert!(cause.contains("unreachable"), "{cause}");
    assert_eq!(crew.usage().instances.load(Ordering::Relaxed), 2);
    assert_eq!(crew.usage().reloads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn misuse_of_a_handle_is_counted_though_no_details_are_kept() {
    let leaks = watcher(&Engine::new().unwrap(), &TRAPS_AT_DELETE.replace(DROPS_THE_PAYLOAD, ""));
    let crew = Crew::new(leaks, false);
    let mut worker = crew.workers(1).worker();
    assert_eq!(worker.handle(&event(Change::Set("v".into())), 1).await, Outcome::Handled);
    assert_eq!(crew.usage().violations.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_store_is_made_once_for_a_thread_and_knows_the_depth_of_its_event() {
    let crew = crew(false);
    let depths = Arc::new(Mutex::new(Vec::new()));
    let made = Arc::clone(&depths);
    let workers = crew.workers_acting(1, move || {
        let depth = Depth::default();
        made.lock().unwrap().push(depth.clone());
        Acting { store: Arc::new(MemoryStore::new()), event_bucket: "a".into(), depth }
    });
    // Two handlers of one thread.
    let (mut one, mut other) = (workers.worker(), workers.worker());
    let set = |depth| Event { depth, ..event(Change::Set("v".into())) };
    let depths = || depths.lock().unwrap().iter().map(Depth::of_event).collect::<Vec<_>>();
    assert_eq!(one.handle(&set(3), 1).await, Outcome::Handled);
    assert_eq!(depths(), [3]);
    assert_eq!(other.handle(&set(1), 1).await, Outcome::Handled);
    assert_eq!(depths(), [1]);
}
