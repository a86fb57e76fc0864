//! Runs the test guest in the test host, in this process.

use exercise::Exerciser;
use inbound_keyvalue::testing::{self, Outcome, Personality, TestHost};

use crate::{Driver, Ending, Observed};

pub(crate) struct Native(TestHost<Exerciser>);

impl Native {
    pub(crate) fn new(personality: &Personality) -> Self {
        let mut host = TestHost::with(personality.clone());
        host.tolerate();
        Self(host)
    }
}

impl Driver for Native {
    fn set(&mut self, key: &str, content: &[u8]) -> Observed {
        observed(self.0.set(key, content.to_vec()))
    }

    fn delete(&mut self, key: &str) -> Observed {
        observed(self.0.delete(key))
    }
}

fn observed(outcome: Outcome) -> Observed {
    let ending = match outcome.ending {
        testing::Ending::Handled => Ending::Handled,
        testing::Ending::Trapped(_) => Ending::Trapped,
        other => panic!("the test guest neither notes nor panics: {other}"),
    };
    Observed::new(ending, outcome.values, &outcome.violations, outcome.calls)
}
