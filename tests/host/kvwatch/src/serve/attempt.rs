use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::handler::{Handler, Outcome};
use super::permit::Issued;
use super::schedule::Start;

/// A handler returned. There is no worker any more if it panicked.
pub(super) struct Finished<H> {
    pub(super) worker: Option<H>,
    pub(super) start: Start,
    pub(super) issued: Issued,
    /// What became of the event, and how long it ran. `None`: it did not begin.
    pub(super) outcome: Option<(Outcome, Duration)>,
}

/// Gives an event to a handler, and waits for the outcome.
pub(super) async fn work<H: Handler>(mut worker: H, start: Start, issued: Issued) -> Finished<H> {
    let _awaited = issued.awaited();
    // Within a block, because a handler may panic before there is a future.
    let handling = async { worker.handle_with_permit(&start.event, start.attempt, issued.permit()).await };
    let handled = AssertUnwindSafe(handling).catch_unwind().await;
    let (worker, outcome) = match handled {
        Ok(outcome) => (Some(worker), outcome),
        Err(_) => (None, Some(Outcome::Trapped("the handler panicked".into()))),
    };
    if outcome.is_some() {
        // Nothing happens if the handler has done it.
        drop(issued.permit().begin());
    }
    let outcome = issued.time().map(|time| {
        let outcome = outcome.unwrap_or_else(|| Outcome::Trapped("the handler gave up an event that had begun".into()));
        (outcome, time)
    });
    Finished { worker, start, issued, outcome }
}
