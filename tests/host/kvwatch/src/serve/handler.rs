use super::event::Event;
use super::permit::Permit;

/// One worker: an instance of a watcher, or whatever else handles events.
///
/// [`deliver`](super::deliver) makes one handler a worker and gives it one event at a time, so a handler needs no lock. A
/// handler that panics is replaced by a new one; the event counts as trapped.
///
/// Any closure of the right shape is a handler:
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
    /// Handles one event. `attempt` counts from 1 and starts anew when the process does.
    ///
    /// The loop that delivers the events polls the future itself, so the handler must not block it. A handler that computes for
    /// long does so on a thread of its own, as [`Worker`](super::Worker) does, or in a task that it spawns.
    fn handle(&mut self, event: &Event, attempt: u32) -> impl Future<Output = Outcome> + Send;

    /// How many events more than it has workers the loop may give away, so that a worker has its next event at once. Only a handler
    /// that implements [`handle_with_permit`](Self::handle_with_permit) may raise it: the others begin each event that they get.
    const AHEAD: usize = 0;

    /// Like [`handle`](Self::handle), for a handler with a queue of its own, such as [`Worker`](super::Worker). The provided method is right
    /// for all others.
    ///
    /// The handler calls [`Permit::begin`] right before the event begins, and drops what that returns when the event ends. If the event
    /// must not begin, the handler answers `None`, and the event is as if the loop had never given it away.
    ///
    /// An outcome without a call of `begin` counts as one whose event began at its end.
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

/// What a handler made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handler is done with the event.
    Handled,
    /// The handler failed. The text says why; it may come from the guest, so it is data and not yet safe to print.
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
