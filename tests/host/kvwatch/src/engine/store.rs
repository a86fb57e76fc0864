use std::collections::BTreeMap;
use std::collections::btree_map::Iter;

use inbound_keyvalue_host::{Change, Content, Event};

use super::outcome::Outcome;
use super::session::Session;

/// A key-value store in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    entries: BTreeMap<String, Content>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a key is set to.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Content> {
        self.entries.get(key)
    }

    /// Sets a key; gives what it was set to before.
    pub fn set(&mut self, key: &str, content: Content) -> Option<Content> {
        if let Some(entry) = self.entries.get_mut(key) {
            return Some(std::mem::replace(entry, content));
        }
        self.entries.insert(key.to_owned(), content)
    }

    /// Deletes a key; gives what it was set to.
    pub fn delete(&mut self, key: &str) -> Option<Content> {
        self.entries.remove(key)
    }

    /// All keys in their order, with what they are set to.
    pub fn iter(&self) -> Iter<'_, String, Content> {
        self.entries.iter()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<'a> IntoIterator for &'a MemoryStore {
    type Item = (&'a String, &'a Content);
    type IntoIter = Iter<'a, String, Content>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A store whose changes go to a watcher.
///
/// A change is made whatever the watcher makes of it: it is told of what has happened, and is not asked.
#[derive(Debug)]
pub struct Watched {
    store: MemoryStore,
    session: Session,
}

impl Watched {
    /// An empty store, watched in `session`.
    #[must_use]
    pub fn new(session: Session) -> Self {
        Self { store: MemoryStore::new(), session }
    }

    /// Sets a key.
    #[must_use = "a watcher's failure is only known from here"]
    pub fn set(&mut self, key: &str, content: Content) -> Outcome {
        let outcome = self.session.set(key, &content);
        self.store.set(key, content);
        outcome
    }

    /// Deletes a key. The watcher is told even where the key was not set: a recorded delete has happened.
    #[must_use = "a watcher's failure is only known from here"]
    pub fn delete(&mut self, key: &str) -> Outcome {
        self.store.delete(key);
        self.session.delete(key)
    }

    /// Applies a recorded event.
    #[must_use = "a watcher's failure is only known from here"]
    pub fn apply(&mut self, event: &Event) -> Outcome {
        match &event.change {
            Change::Set(content) => self.set(&event.key, content.clone()),
            Change::Delete => self.delete(&event.key),
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to [replace](Session::replace) its watcher, say.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_set_last() {
        let mut store = MemoryStore::new();
        assert!(store.set("b", "1".into()).is_none());
        assert!(store.set("a", "2".into()).is_none());
        assert_eq!(store.set("b", "333".into()).map(|before| before.len()), Some(1));
        assert_eq!(
            store.iter().map(|(key, content)| (&**key, content.len())).collect::<Vec<_>>(),
            [("a", 1), ("b", 3)]
        );
        assert!(store.delete("a").is_some());
        assert!(store.delete("a").is_none());
        assert_eq!((store.len(), store.get("a").is_none(), store.is_empty()), (1, true, false));
    }
}
