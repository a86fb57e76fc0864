use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::lease::Lease;
use super::metrics::{Metrics, count, minus, plus};

/// The permission to begin one event, which the loop may take back until the event begins.
///
/// The loop passes some events early to a [`Handler`](super::Handler) with a queue of its own. Such an event has not begun: the
/// store may deliver it to another process, or kvwatch may shut down. Then the loop takes the permission back.
///
/// ```
/// use kvwatch::serve::Permit;
///
/// // Nobody takes this one back.
/// let running = Permit::always().begin().expect("it may begin");
/// // The handler runs here.
/// drop(running);
/// ```
#[derive(Debug)]
#[must_use = "an event must not begin without `begin`"]
pub struct Permit(Arc<Beginning>);

impl Permit {
    /// A permission that nobody takes back, for calls of a handler outside of [`deliver`](super::deliver).
    pub fn always() -> Self {
        Issued::new(&Arc::default()).permit()
    }

    /// Begins the event, if it may begin. Call this right before the event begins, and drop the result right after its end.
    ///
    /// The result is `None` if the loop took the permission back, if nobody waits for the outcome any more, or if the loop stood
    /// still for longer than [`Source::lease`](super::Source::lease) allows. The process may have been stopped, and this
    /// thread may be the first one that runs again. Then the event must not begin, and the handler returns `None`.
    #[must_use = "an event that must not begin has to stay as it is"]
    pub fn begin(self) -> Option<Running> {
        let Beginning { begun, terms, .. } = &*self.0;
        if terms.lease.look().lapsed {
            let _ = begun.set(None);
            return None;
        }
        begun.set(Some(Instant::now())).ok()?;
        count(&terms.metrics.attempts);
        plus(&terms.metrics.running);
        Some(Running(self.0))
    }
}

/// An event that runs until this is dropped. The time in between counts as the time of the handler.
#[derive(Debug)]
pub struct Running(Arc<Beginning>);

impl Drop for Running {
    fn drop(&mut self) {
        minus(&self.0.terms.metrics.running);
        let _ = self.0.ended.set(Instant::now());
    }
}

/// The state that all permits of one delivery share.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) metrics: Arc<Metrics>,
    pub(super) lease: Lease,
}

#[derive(Debug)]
struct Beginning {
    /// It is set once: to a time when the handler begins the event, or to `None` when the event can no longer begin.
    begun: OnceLock<Option<Instant>>,
    ended: OnceLock<Instant>,
    terms: Arc<Terms>,
}

/// The loop's side of a [`Permit`].
#[derive(Clone, Debug)]
pub(super) struct Issued(Arc<Beginning>);

impl Issued {
    pub(super) fn new(terms: &Arc<Terms>) -> Self {
        Self(Arc::new(Beginning { begun: OnceLock::new(), ended: OnceLock::new(), terms: Arc::clone(terms) }))
    }

    pub(super) fn permit(&self) -> Permit {
        Permit(Arc::clone(&self.0))
    }

    /// Takes the permission back, unless the event has begun. Returns whether it took the permission back.
    pub(super) fn recall(&self) -> bool {
        let _ = self.0.begun.set(None);
        matches!(self.0.begun.get(), Some(None))
    }

    /// The time that the event has run, until now or until its end. `None` if it has not begun.
    pub(super) fn time(&self) -> Option<Duration> {
        let begun = self.0.begun.get().copied().flatten()?;
        let ended = self.0.ended.get().copied().unwrap_or_else(Instant::now);
        Some(ended.saturating_duration_since(begun))
    }

    /// Whether both are for the same start of an event.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A guard for the time in which the loop waits for the outcome. When it is dropped, the event can no longer begin.
    pub(super) fn awaited(&self) -> Awaited {
        Awaited(self.clone())
    }
}

/// Takes the permission back when it is dropped.
#[derive(Debug)]
pub(super) struct Awaited(Issued);

impl Drop for Awaited {
    fn drop(&mut self) {
        self.0.recall();
    }
}

#[cfg(test)]
#[path = "permit_tests.rs"]
mod tests;
