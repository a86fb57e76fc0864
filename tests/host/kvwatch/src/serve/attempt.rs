use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::handler::{Handler, Outcome};
use super::permit::Issued;
use super::schedule::Start;

/// A handler that returned or panicked. After a panic there is no worker.
pub(super) struct Finished<H> {
    pub(super) worker: Option<H>,
    pub(super) start: Start,
    pub(super) issued: Issued,
    /// The outcome of the event, and the time that it ran. `None` if it did not begin.
    pub(super) outcome: Option<(Outcome, Duration)>,
}

/// Passes an event to a handler, and waits for the outcome.
pub(super) async fn work<H: Handler>(mut worker: H, start: Start, issued: Issued) -> Finished<H> {
    let _awaited = issued.awaited();
    // The call is inside the block, because a handler may panic before it returns a future.
    let handling = async { worker.handle_with_permit(&start.event, start.attempt, issued.permit()).await };
    let handled = AssertUnwindSafe(handling).catch_unwind().await;
    let (worker, outcome) = match handled {
        Ok(outcome) => (Some(worker), outcome),
        Err(_) => (None, Some(Outcome::Trapped("the handler panicked".into()))),
    };
    if outcome.is_some() {
        // This does nothing if the handler has begun the event.
        drop(issued.permit().begin());
    }
    let outcome = issued.time().map(|time| {
        let outcome = outcome.unwrap_or_else(|| Outcome::Trapped("the handler gave up an event that had begun".into()));
        (outcome, time)
    });
    Finished { worker, start, issued, outcome }
}
