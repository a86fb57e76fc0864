use super::event::Event;
use super::permit::Permit;

/// One worker: an instance of a watcher, or other code that handles events.
///
/// [`deliver`](super::deliver) makes one handler for each worker, and passes one event at a time to it. So a handler needs
/// no lock. A handler that panics is replaced by a new one, and the event counts as trapped.
///
/// Any closure of this type is a handler:
///
/// ```
/// use kvwatch::serve::{Event, Handler, Outcome};
///
/// let handler = |event: &Event, attempt: u32| {
///     println!("{} at attempt {attempt}", event.key);
///     async { Outcome::Handled }
/// };
/// # fn check(_: impl Handler) {}
/// # check(handler);
/// ```
pub trait Handler: Send + 'static {
    /// Handles one event. `attempt` counts from 1, and starts again when the process is restarted.
    ///
    /// The loop that delivers the events polls the future itself, so the handler must not block it. A handler that computes for
    /// a long time does so on a thread of its own, as [`Worker`](super::Worker) does, or in a task that it spawns.
    fn handle(&mut self, event: &Event, attempt: u32) -> impl Future<Output = Outcome> + Send;

    /// The number of events that the loop may pass to handlers in addition to the number of workers, so that a worker has its next
    /// event at once. Only a handler that implements [`handle_with_permit`](Self::handle_with_permit) may raise it: all other
    /// handlers begin each event that they get.
    const AHEAD: usize = 0;

    /// Like [`handle`](Self::handle), for a handler with a queue of its own, such as [`Worker`](super::Worker). The provided method is
    /// right for all other handlers.
    ///
    /// The handler calls [`Permit::begin`] right before the event begins, and drops the returned value when the event ends. If the
    /// event must not begin, the handler returns `None`. The loop then treats the event as if it had never passed it on.
    ///
    /// If the handler returns an outcome without a call of `begin`, the event counts as begun at its end.
    fn handle_with_permit(
        &mut self,
        event: &Event,
        attempt: u32,
        permit: Permit,
    ) -> impl Future<Output = Option<Outcome>> + Send {
        async move {
            let _running = permit.begin()?;
            Some(self.handle(event, attempt).await)
        }
    }
}

/// The outcome of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler has finished the event.
    Handled,
    /// The handler failed. The text has the cause. It may come from the guest, so escape it before you print it.
    Trapped(String),
}

impl<F, T> Handler for F
where
    F: FnMut(&Event, u32) -> T + Send + 'static,
    T: Future<Output = Outcome> + Send,
{
    fn handle(&mut self, event: &Event, attempt: u32) -> impl Future<Output = Outcome> + Send {
        self(event, attempt)
    }
}
