use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::lease::Lease;
use super::metrics::{Metrics, count, minus, plus};

/// The permission to begin one event, which the loop may take back until the event begins.
///
/// The loop gives a [`Handler`](super::Handler) with a queue of its own some events early. Such an event has not begun: the store
/// may give it to another process, or kvwatch may shut down. Then the loop takes the permission back.
///
/// ```
/// use kvwatch::serve::Permit;
///
/// // Nobody takes this one back.
/// assert!(Permit::always().begin());
/// ```
#[derive(Debug)]
#[must_use = "an event must not begin without `begin`"]
pub struct Permit(Arc<Beginning>);

impl Permit {
    /// A permission that nobody takes back: for calls of a handler outside of [`deliver`](super::deliver).
    pub fn always() -> Self {
        Issued::new(&Arc::default()).permit()
    }

    /// Begins the event, and returns whether it may. Call this right before the event begins. If it returns `false`, the event
    /// must not begin, and the handler answers `None`.
    ///
    /// It returns `false` if the loop took the permission back, if nobody waits for the outcome any more, and if the loop stood
    /// still for longer than [`Source::lease`](super::Source::lease) allows. The process may have been stopped, and this thread may
    /// be the first one that runs again.
    #[must_use = "an event that must not begin has to stay as it is"]
    pub fn begin(self) -> bool {
        let Beginning { begun, terms } = &*self.0;
        if terms.lease.look().lapsed {
            let _ = begun.set(None);
            return false;
        }
        // Before the event can end: the gauge must not fall below 0.
        plus(&terms.metrics.running);
        let may = begun.set(Some(Instant::now())).is_ok();
        if may {
            count(&terms.metrics.attempts);
        } else {
            minus(&terms.metrics.running);
        }
        may
    }
}

/// What all permits of one delivery depend on.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) metrics: Arc<Metrics>,
    pub(super) lease: Lease,
}

#[derive(Debug)]
struct Beginning {
    /// Set once, by the handler that begins the event, or with `None` by the one that prevents it.
    begun: OnceLock<Option<Instant>>,
    terms: Arc<Terms>,
}

/// The loop's side of a [`Permit`].
#[derive(Clone, Debug)]
pub(super) struct Issued(Arc<Beginning>);

impl Issued {
    pub(super) fn new(terms: &Arc<Terms>) -> Self {
        Self(Arc::new(Beginning { begun: OnceLock::new(), terms: Arc::clone(terms) }))
    }

    pub(super) fn permit(&self) -> Permit {
        Permit(Arc::clone(&self.0))
    }

    /// Takes the permission back, unless the event has begun. Whether it has not begun; then it never will.
    pub(super) fn recall(&self) -> bool {
        let _ = self.0.begun.set(None);
        self.begun().is_none()
    }

    /// When the event began. `None`: it has not.
    pub(super) fn begun(&self) -> Option<Instant> {
        self.0.begun.get().copied().flatten()
    }

    /// Whether both are for the same start of an event.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// For as long as the loop waits for the outcome.
    pub(super) fn awaited(&self) -> Awaited {
        Awaited(self.clone())
    }
}

/// Somebody waits for the outcome. After its end the event cannot begin.
#[derive(Debug)]
pub(super) struct Awaited(Issued);

impl Drop for Awaited {
    fn drop(&mut self) {
        if !self.0.recall() {
            minus(&self.0.0.terms.metrics.running);
        }
    }
}

#[cfg(test)]
#[path = "permit_tests.rs"]
mod tests;
