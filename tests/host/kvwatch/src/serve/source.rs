use std::pin::Pin;
use std::time::Duration;

use super::Cause;
use super::event::{Event, Position};

/// A future of any kind, on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Brings the events of a store, and ends them there.
///
/// A new store is one file with one implementation of this trait, and [`conforms`](super::conforms) tests it. The methods that it
/// needs depend on the promises of the store:
///
/// | store | implements |
/// |---|---|
/// | in memory, or at most once (Redis keyspace notifications) | [`next`](Self::next) and [`capacity`](Self::capacity) |
/// | with acks | also [`ack`](Self::ack), [`give_back`](Self::give_back), [`close`](Self::close) |
/// | with acks that several processes share (NATS `JetStream`) | also [`acked`](Self::acked), [`forget`](Self::forget), [`lease`](Self::lease), [`lapsed`](Self::lapsed), and the signals other than [`Signal::Event`] |
///
/// The loop calls all methods from one task. Methods that are not `async` must not block.
///
/// ```
/// use std::collections::VecDeque;
/// use kvwatch::serve::{Arrival, Cause, Event, Signal, Source};
///
/// /// Events from memory, each delivered at most once.
/// struct Memory(VecDeque<Event>);
///
/// impl Source for Memory {
///     async fn next(&mut self) -> Result<Signal, Cause> {
///         match self.0.pop_front() {
///             Some(event) => Ok(Signal::Event(Arrival { event, deliveries: 1 })),
///             None => std::future::pending().await,
///         }
///     }
/// }
/// ```
pub trait Source: Send {
    /// Waits for the next signal for the loop.
    ///
    /// The loop drops this future and calls again whenever something else happens. An implementation must lose no signal then: it
    /// must be *cancel safe*. An event that is already in hand must not be reported twice.
    ///
    /// # Errors
    ///
    /// When the source can never bring another event, and a user must act. A lost connection is not an error: the source
    /// connects again and waits.
    fn next(&mut self) -> impl Future<Output = Result<Signal, Cause>> + Send;

    /// Tells the store that the event is done. The future is finished when the store has confirmed this, or when the event
    /// does not exist any more. Until then it tries again.
    fn ack(&mut self, position: Position) -> BoxFuture<'static, Acked> {
        let _ = position;
        Box::pin(std::future::ready(Acked::Confirmed))
    }

    /// Tells the source that the future of [`ack`](Self::ack) for this event has finished, and that the loop has forgotten the event.
    fn acked(&mut self, position: Position) {
        let _ = position;
    }

    /// Gives events back to the store, in ascending order, so that it delivers them again at once, to any process.
    fn give_back(&mut self, positions: &[Position]) {
        let _ = positions;
    }

    /// Tells the source that the loop has dropped these events after [`Signal::Forget`]. The store does not know it.
    fn forget(&mut self, positions: &[Position]) {
        let _ = positions;
    }

    /// The longest time that the loop may stand still before another process may own its events. `None` if there is no limit.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Tells the source that the loop stood still for longer than the lease. The loop drops all events that it had not started, as
    /// with [`Signal::Forget`], and calls [`forget`](Self::forget) with them after this method.
    fn lapsed(&mut self) {}

    /// The most events in hand: while the loop has this many, it does not call [`next`](Self::next). If the store itself has a limit,
    /// return `usize::MAX`.
    fn capacity(&self) -> usize {
        1000
    }

    /// Ends the source: gives back `rest`, in ascending order, and leaves the store so that another process can take over at once.
    fn close(&mut self, rest: &[Position]) -> impl Future<Output = ()> + Send {
        let _ = rest;
        async {}
    }
}

/// A signal of a source to the loop.
#[derive(Clone, Debug)]
pub enum Signal {
    /// An event.
    Event(Arrival),
    /// Events may start from now on. A loop begins in this state.
    Open,
    /// No event may start from now on, until [`Signal::Open`].
    Close,
    /// Give back all events that have not started: they belong to another process now.
    GiveBack,
    /// Drop all events that have not started: the store has forgotten them, or delivers them to another process.
    Forget,
}

/// An event, and the number of its deliveries.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub event: Event,
    /// The number of deliveries by the store to any process, including this one.
    pub deliveries: u64,
}

/// The result of an ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acked {
    /// The store has confirmed it.
    Confirmed,
    /// The store has no such delivery any more: its consumer or its bucket was removed, or it went back to an older state. If it still
    /// has the event, it delivers it again.
    Gone,
}
