//! Runs the test guest as a component in wasmtime.

use kvwatch::build::Target;
use kvwatch::world::{Content, Personality};
use kvwatch::{Session, Watcher};

use crate::{Driver, Ending, Observed};

pub(crate) struct Component(Session);

impl Component {
    pub(crate) fn watcher(target: Target) -> Watcher {
        conformance::watcher("tests/guests/exercise", target)
    }

    pub(crate) fn new(target: Target, personality: &Personality) -> Self {
        Self(Self::watcher(target).session().personality(personality.clone()).build())
    }
}

impl Driver for Component {
    fn set(&mut self, key: &str, content: &[u8]) -> Observed {
        observed(&self.0.set(key, &Content::from(content.to_vec())))
    }

    fn delete(&mut self, key: &str) -> Observed {
        observed(&self.0.delete(key))
    }
}

fn observed(outcome: &kvwatch::Outcome) -> Observed {
    let ending = if outcome.trapped().is_some() { Ending::Trapped } else { Ending::Handled };
    Observed::new(ending, outcome.values().to_vec(), outcome.violations(), outcome.calls)
}
