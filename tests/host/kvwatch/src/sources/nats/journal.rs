use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_nats::Server;

use crate::serve::Escaped;

/// The most lines for one connection. The texts come from the server, which can send any number of them.
const MOST: usize = 16;

/// The lines that the log already has about one connection and its loss. The library tries again and again, and reports the same
/// causes each time.
#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: BTreeSet<String>,
    /// The number of failed attempts at each server at the last check. `None` if there was no check since the last connection.
    failed: Option<BTreeMap<String, usize>>,
}

impl Journal {
    /// Starts a connection. Each line may come again.
    pub(super) fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Whether the log has no such line about this connection yet.
    pub(super) fn is_new(&self, text: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_new(text)
    }

    /// Logs why attempts to connect again have failed: each cause once.
    pub(super) fn note(&self, servers: &[Server]) {
        for cause in self.causes(servers) {
            tracing::warn!(cause = %Escaped(&cause), "cannot connect to the store; trying again");
        }
    }

    /// The new causes. The first check only counts, because earlier errors belong to another connection.
    fn causes(&self, servers: &[Server]) -> Vec<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = servers.iter().map(|server| (format!("{:?}", server.addr), server.failed_attempts)).collect();
        let Some(before) = state.failed.replace(now) else { return Vec::new() };
        let has_failed =
            |it: &&Server| before.get(&format!("{:?}", it.addr)).is_none_or(|failed| it.failed_attempts > *failed);
        let causes = servers.iter().filter(has_failed).filter_map(|server| server.last_error.clone());
        causes.filter(|cause| state.is_new(cause)).collect()
    }
}

impl State {
    fn is_new(&mut self, text: &str) -> bool {
        self.told.len() < MOST && self.told.insert(Escaped(text).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_new_once_for_a_connection_and_there_is_a_last_one() {
        let journal = Journal::default();
        assert!(journal.is_new("lame duck mode"));
        assert!(!journal.is_new("lame duck mode"));
        let more = (0..1000).filter(|number| journal.is_new(&number.to_string())).count();
        assert_eq!(more, MOST - 1);
        journal.begin();
        assert!(journal.is_new("lame duck mode"));
    }
}
