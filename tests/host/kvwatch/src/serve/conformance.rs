//! Tests the rules that every source must keep.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Barrier, Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::Cause;
use super::dead_letters::{DeadLetters, Letter};
use super::delivery::{Settings, deliver};
use super::event::{Change, Event, Position};
use super::handler::Outcome;
use super::retry::Retry;
use super::source::{Acked, BoxFuture, Signal, Source};

/// Changes keys of a store, as the store's own client does. [`conforms`] needs it beside the source.
pub trait Client: Send + Sync {
    /// Sets a key.
    fn set<'a>(&'a self, key: &'a str, value: &'a str) -> BoxFuture<'a, Result<(), Cause>>;

    /// Deletes a key.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Cause>>;
}

/// The longest wait for an event. Every store is much faster.
const LIMIT: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 3;
/// The number of times in a row that the suite sets one key, without a pause.
const IN_A_ROW: usize = 50;

/// Delivers events of a source to handlers, changes keys through `client`, and compares the events of the handlers with the
/// rules D1 to D4, D6 and D8, as far as one process can see them.
///
/// The source must already watch, and its store must have no keys. The keys of the suite are single letters. A store
/// that reads a value after its change may skip a value that was replaced meanwhile, and may deliver a value twice. Run it for a new
/// source against its real server. Test D5 separately, because it needs several processes.
///
/// # Errors
///
/// The first rule that was broken, in words, or the cause of a failure of the source or the client.
pub async fn conforms(source: &mut impl Source, client: &dyn Client) -> Result<(), String> {
    let record = Arc::new(Record::default());
    let mut settings = Settings::with_workers(4);
    settings.retry =
        Retry { attempts: ATTEMPTS, first: Duration::from_millis(50), longest: Duration::from_millis(100) };
    let (stop, stopped) = oneshot::channel::<()>();
    let new_worker = || {
        let record = Arc::clone(&record);
        move |event: &Event, _: u32| Arc::clone(&record).handle(event.clone())
    };
    let mut observed = Observed { source, record: Arc::clone(&record) };
    let letters: Arc<dyn DeadLetters> = Arc::new(Letters(Arc::clone(&record)));
    let delivery = deliver(&mut observed, new_worker, &settings, letters, Arc::default(), async {
        let _ = stopped.await;
    });
    let script = async {
        let kept = rules(client, &record).await;
        let _ = stop.send(());
        kept
    };
    let (delivered, kept) = tokio::join!(delivery, script);
    let summary = delivered.map_err(|cause| format!("the source failed: {cause}"))?;
    kept?;
    if summary.unfinished > 0 || !record.has("s", "slow") {
        return Err("D6: a handler that ran at the shutdown did not finish".into());
    }
    record.state().fault.take().map_or(Ok(()), Err)
}

async fn rules(client: &dyn Client, record: &Record) -> Result<(), String> {
    let set = async |key: &str, value: &str| {
        client.set(key, value).await.map_err(|cause| format!("the client cannot set {key:?}: {cause}"))
    };
    for value in ["1", "", "ä\n"] {
        set("a", value).await?;
        record.until("D8: a set is delivered with its value", |seen| seen.last("a") == Some(value)).await?;
    }
    client.delete("a").await.map_err(|cause| format!("the client cannot delete \"a\": {cause}"))?;
    record.until("D8: a delete is delivered", |seen| seen.last("a") == Some(DELETED)).await?;

    for number in 1..=IN_A_ROW {
        set("b", &format!("{number:03}")).await?;
    }
    let newest = format!("{IN_A_ROW:03}");
    let has_newest = |seen: &State| seen.handled.get("b").is_some_and(|values| values.contains(&newest));
    record.until("D1: the last value of a key is delivered", has_newest).await?;
    let values = record.state().handled.get("b").cloned().unwrap_or_default();
    if !values.is_sorted() {
        return Err(format!("D2: a key went back to an older value: {values:?}"));
    }

    for key in ["p", "q"] {
        set(key, "meet").await?;
    }
    record
        .until("D2: events of different keys run at the same time", |seen| {
            seen.last("p") == Some("meet") && seen.last("q") == Some("meet")
        })
        .await?;

    set("t", "trap").await?;
    record.until("D3: a trapped event was tried", |seen| seen.attempts > 0).await?;
    set("u", "1").await?;
    record.until("D3: a trapped event does not hold back other keys", |seen| seen.last("u") == Some("1")).await?;
    record.until("D4: an event without attempts left becomes a dead letter", |seen| !seen.letters.is_empty()).await?;
    let (letters, attempts) = {
        let state = record.state();
        (state.letters.clone(), state.attempts)
    };
    if attempts != ATTEMPTS || letters != [format!("t after {ATTEMPTS}: asked to")] {
        return Err(format!("D4: after {attempts} attempts of {ATTEMPTS}, the dead letters are {letters:?}"));
    }
    set("t", "1").await?;
    record.until("D4: a key goes on after a dead letter", |seen| seen.last("t") == Some("1")).await?;

    set("s", "slow").await?;
    record.until("a slow handler starts", |seen| seen.running.contains("s")).await
}

/// Stands for a delete among the values.
const DELETED: &str = "(deleted)";

/// The calls of the handlers, the dead letters and the source.
struct Record {
    state: Mutex<State>,
    changed: Notify,
    meeting: Barrier,
}

#[derive(Default)]
struct State {
    running: BTreeSet<String>,
    /// The values of each key, in the order of their handlers. A value that came twice in a row is here once.
    handled: BTreeMap<String, Vec<String>>,
    /// Events that are handled or dead letters.
    ended: BTreeSet<Position>,
    letters: Vec<String>,
    attempts: u32,
    fault: Option<String>,
}

impl State {
    fn last(&self, key: &str) -> Option<&str> {
        self.handled.get(key)?.last().map(String::as_str)
    }

    fn fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

impl Default for Record {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Notify::new(), meeting: Barrier::new(2) }
    }
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    fn has(&self, key: &str, value: &str) -> bool {
        self.state().last(key) == Some(value)
    }

    /// Waits until `so` returns `true`. A rule that was broken meanwhile is an error.
    async fn until(&self, what: &str, so: impl Fn(&State) -> bool) -> Result<(), String> {
        let happened = async {
            loop {
                let changed = self.changed.notified();
                {
                    let state = self.state();
                    if let Some(fault) = &state.fault {
                        return Err(fault.clone());
                    }
                    if so(&state) {
                        return Ok(());
                    }
                }
                // If a change comes before this wait starts, it is noticed within 50 ms.
                let _ = timeout(Duration::from_millis(50), changed).await;
            }
        };
        let late = || Err(format!("{what}: not within {LIMIT:?}; the handlers saw {:?}", self.state().handled));
        timeout(LIMIT, happened).await.unwrap_or_else(|_| late())
    }

    async fn handle(self: Arc<Self>, event: Event) -> Outcome {
        let key = event.key.to_string();
        self.change(|state| {
            if !state.running.insert(key.clone()) {
                state.fault(format!("D2: two events of the key {key:?} ran at the same time"));
            }
        });
        let value = match &event.change {
            Change::Set(value) => String::from_utf8_lossy(value).into_owned(),
            Change::Delete => DELETED.to_owned(),
        };
        match value.as_str() {
            "meet" if timeout(LIMIT / 2, self.meeting.wait()).await.is_err() => {
                self.change(|state| state.fault("D2: events of different keys did not run at the same time".into()));
            }
            "slow" => sleep(Duration::from_millis(500)).await,
            // This is enough time for a second event of the key to start, if the loop wrongly starts it.
            _ => sleep(Duration::from_millis(2)).await,
        }
        let traps = value == "trap";
        self.change(|state| {
            state.running.remove(&key);
            if traps {
                state.attempts += 1;
                return;
            }
            state.ended.insert(event.position);
            let values = state.handled.entry(key).or_default();
            if values.last() != Some(&value) {
                values.push(value);
            }
        });
        if traps { Outcome::Trapped("asked to".into()) } else { Outcome::Handled }
    }
}

struct Letters(Arc<Record>);

impl DeadLetters for Letters {
    fn bury(&self, letter: Arc<Letter>) -> BoxFuture<'_, Result<(), Cause>> {
        self.0.change(|state| {
            state.ended.insert(letter.event.position);
            state.letters.push(format!("{} after {}: {}", letter.event.key, letter.attempts, letter.cause));
        });
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A source whose acks are checked.
struct Observed<'a, S> {
    source: &'a mut S,
    record: Arc<Record>,
}

impl<S: Source> Source for Observed<'_, S> {
    fn next(&mut self) -> impl Future<Output = Result<Signal, Cause>> + Send {
        self.source.next()
    }

    fn ack(&mut self, position: Position) -> BoxFuture<'static, Acked> {
        self.record.change(|state| {
            if !state.ended.contains(&position) {
                state.fault(format!("D1: the event {position} was acknowledged before its end"));
            }
        });
        self.source.ack(position)
    }

    fn acked(&mut self, position: Position) {
        self.source.acked(position);
    }

    fn give_back(&mut self, positions: &[Position]) {
        self.source.give_back(positions);
    }

    fn forget(&mut self, positions: &[Position]) {
        self.source.forget(positions);
    }

    fn lease(&self) -> Option<Duration> {
        self.source.lease()
    }

    fn lapsed(&mut self) {
        self.source.lapsed();
    }

    fn capacity(&self) -> usize {
        self.source.capacity()
    }

    fn close(&mut self, rest: &[Position]) -> impl Future<Output = ()> + Send {
        self.source.close(rest)
    }
}

#[cfg(test)]
#[path = "conformance_tests.rs"]
mod tests;
