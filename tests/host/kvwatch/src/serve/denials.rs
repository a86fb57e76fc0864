use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::event::Escaped;

/// The most lines about one watcher. A watcher can make up any number of names.
const MOST: usize = 64;

/// Logs the hosts and buckets that a watcher may not use: each once, with the flag that would grant it.
///
/// The names come from the watcher. So the log has at most 64 of them, escaped and cut.
///
/// ```
/// use kvwatch::serve::Denials;
///
/// let denials = Denials::default();
/// assert!(denials.tell("the watcher may not send HTTP requests to this host", "example.org:443", "--allow-host example.org:443"));
/// assert!(!denials.tell("the watcher may not send HTTP requests to this host", "example.org:443", "--allow-host example.org:443"));
/// ```
#[derive(Debug, Default)]
pub struct Denials(Mutex<BTreeSet<String>>);

impl Denials {
    /// Logs `what`, which says what the watcher may not do with the thing of this name, and that `flag` would allow it. Returns
    /// whether there is a new line in the log.
    pub fn tell(&self, what: &'static str, name: &str, flag: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The flag distinguishes between a denied read and a denied write.
        if told.len() > MOST || !told.insert(format!("{what} {} {}", Escaped(name), Escaped(flag))) {
            return false;
        }
        if told.len() > MOST {
            tracing::warn!("the watcher was denied more than {MOST} things; further ones are not logged");
        } else {
            tracing::warn!(name = %Escaped(name), allow = %Escaped(flag), "{what}");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once_and_there_is_a_last_one() {
        let denials = Denials::default();
        assert!(denials.tell("the bucket", "a", "--allow-bucket a"));
        assert!(!denials.tell("the bucket", "a", "--allow-bucket a"));
        assert!(denials.tell("a host", "a", "--allow-host a"));
        let told = (0..1000).filter(|number| denials.tell("a host", &number.to_string(), "--allow-host")).count();
        // Two lines came before, and the last line says that it is the last.
        assert_eq!(told, MOST - 2 + 1);
    }
}
