//! The test guest as a component in wasmtime.

use std::sync::OnceLock;

use kvwatch::build::Target;
use kvwatch::world::{Content, Personality};
use kvwatch::{Session, Watcher};

use crate::{Driver, Ending, Observed};

pub(crate) struct Component(Session);

impl Component {
    /// The guest, built for `target` by the first test that asks for it.
    pub(crate) fn watcher(target: Target) -> Watcher {
        static WATCHERS: [OnceLock<Watcher>; 3] = [const { OnceLock::new() }; 3];
        let index = match target {
            Target::UnknownUnknown => 0,
            Target::Wasip1 => 1,
            _ => 2,
        };
        WATCHERS[index].get_or_init(|| conformance::watcher("tests/guests/exercise", target)).clone()
    }

    pub(crate) fn new(target: Target, personality: &Personality) -> Self {
        Self(Self::watcher(target).session().personality(personality.clone()).build())
    }
}

impl Driver for Component {
    fn set(&mut self, key: &str, content: &[u8]) -> Observed {
        observed(self.0.set(key, &Content::from(content.to_vec())))
    }

    fn delete(&mut self, key: &str) -> Observed {
        observed(self.0.delete(key))
    }
}

fn observed(outcome: kvwatch::Outcome) -> Observed {
    let ending = if outcome.trapped().is_some() { Ending::Trapped } else { Ending::Handled };
    Observed::new(ending, outcome.values, &outcome.violations, outcome.calls)
}
