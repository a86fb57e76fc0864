//! The table of an instance's handles.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use crate::accounts::{Fault, Kind, Origin, Violation};
use crate::numbering::Numbering;

/// A live handle, and the object that it stands for.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    pub(crate) handle: u32,
    pub(crate) kind: Kind,
    pub(crate) origin: Origin,
    pub(crate) object: T,
    /// The number of handles that the table had made before this one.
    serial: u64,
}

/// How a guest gave up a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Dropped,
    Consumed,
}

/// A handle that the guest gave up earlier in this event.
#[derive(Debug)]
struct Past {
    handle: u32,
    kind: Kind,
    life: Life,
    origin: Origin,
}

/// All handles of an instance. `insert`, `get` and `remove` take constant time in any order and with every [`Numbering`].
#[derive(Debug)]
pub(crate) struct Table<T> {
    numbering: Numbering,
    live: Live<T>,
    /// The handles that were given up last. They explain why a handle is missing.
    past: VecDeque<Past>,
    spaces: [Space; Kind::COUNT],
    serial: u64,
}

/// The live handles by their keys. A typical event has two to four, and a search through so few is cheaper than a hash map.
#[derive(Debug)]
struct Live<T> {
    /// At most [`Live::FEW`] handles.
    few: Vec<(u64, Entry<T>)>,
    /// The handles that had no place in `few`.
    many: HashMap<u64, Entry<T>, BuildHasherDefault<MixNumber>>,
}

impl<T> Live<T> {
    const FEW: usize = 8;

    #[inline]
    fn insert(&mut self, key: u64, entry: Entry<T>) {
        if self.few.len() < Self::FEW {
            self.few.push((key, entry));
        } else {
            self.many.insert(key, entry);
        }
    }

    #[inline]
    fn get(&self, key: u64) -> Option<&Entry<T>> {
        match self.few.iter().find(|(few, _)| *few == key) {
            Some((_, entry)) => Some(entry),
            None if self.many.is_empty() => None,
            None => self.many.get(&key),
        }
    }

    #[inline]
    fn get_mut(&mut self, key: u64) -> Option<&mut Entry<T>> {
        match self.few.iter_mut().find(|(few, _)| *few == key) {
            Some((_, entry)) => Some(entry),
            None if self.many.is_empty() => None,
            None => self.many.get_mut(&key),
        }
    }

    /// Removes the handle of this key if it is of this kind.
    #[inline]
    fn remove(&mut self, key: u64, kind: Kind) -> Option<Entry<T>> {
        if let Some(at) = self.few.iter().position(|(few, _)| *few == key) {
            return (self.few[at].1.kind == kind).then(|| self.few.swap_remove(at).1);
        }
        if self.many.get(&key)?.kind == kind { self.many.remove(&key) } else { None }
    }

    #[inline]
    fn len(&self) -> usize {
        self.few.len() + self.many.len()
    }

    /// Forgets the handles from a serial number on, and returns them.
    fn forget(&mut self, since: u64) -> Vec<(Kind, u32)> {
        let mut forgotten = Vec::new();
        let mut keep = |entry: &Entry<T>| {
            let older = entry.serial < since;
            if !older {
                forgotten.push((entry.kind, entry.handle));
            }
            older
        };
        self.few.retain(|(_, entry)| keep(entry));
        self.many.retain(|_, entry| keep(entry));
        forgotten
    }

    fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.few.iter().map(|(_, entry)| entry).chain(self.many.values())
    }

    #[inline]
    fn clear(&mut self) {
        self.few.clear();
        if !self.many.is_empty() {
            self.many.clear();
        }
        // One event with many handles must not take memory, or make `clear` slow, in every later event.
        if self.many.capacity() > REMEMBERED {
            self.many.shrink_to(REMEMBERED);
        }
    }
}

/// The numbers that one counter gives out. All kinds share the first space, unless each kind counts for itself.
#[derive(Debug)]
struct Space {
    next: u32,
    /// Whether `next` has passed `u32::MAX`, so that a live handle can have the next number.
    wrapped: bool,
    /// Numbers of dropped handles, for hosts that reuse them.
    free: Vec<u32>,
}

/// The number of past handles that the table remembers. It gives no origin for older ones.
const REMEMBERED: usize = 64;

impl<T> Table<T> {
    pub(crate) fn new(numbering: Numbering) -> Self {
        let space = || Space { next: numbering.first, wrapped: false, free: Vec::new() };
        Self {
            numbering,
            live: Live { few: Vec::new(), many: HashMap::default() },
            past: VecDeque::new(),
            spaces: std::array::from_fn(|_| space()),
            serial: 0,
        }
    }

    fn space(&mut self, kind: Kind) -> &mut Space {
        &mut self.spaces[if self.numbering.per_kind { kind as usize } else { 0 }]
    }

    /// The key of a handle in the map. Kinds that count for themselves have different keys for equal numbers.
    fn key(&self, kind: Kind, handle: u32) -> u64 {
        let space = if self.numbering.per_kind { kind as u64 } else { 0 };
        space << 32 | u64::from(handle)
    }

    #[inline]
    pub(crate) fn insert(&mut self, kind: Kind, origin: Origin, object: T) -> u32 {
        let handle = self.space(kind).free.pop().unwrap_or_else(|| self.unused(kind));
        let serial = self.serial;
        self.serial += 1;
        self.live.insert(self.key(kind, handle), Entry { handle, kind, origin, object, serial });
        handle
    }

    /// The next number that no live handle has.
    fn unused(&mut self, kind: Kind) -> u32 {
        loop {
            let space = self.space(kind);
            let (handle, wrapped) = (space.next, space.wrapped);
            space.next = handle.wrapping_add(1);
            space.wrapped |= space.next == 0;
            if !wrapped || self.live.get(self.key(kind, handle)).is_none() {
                return handle;
            }
        }
    }

    #[inline]
    pub(crate) fn get(&mut self, kind: Kind, handle: u32) -> Option<&mut Entry<T>> {
        let key = self.key(kind, handle);
        self.live.get_mut(key).filter(|entry| entry.kind == kind)
    }

    /// Takes a handle from the guest.
    #[inline]
    pub(crate) fn remove(&mut self, kind: Kind, handle: u32, life: Life) -> Option<Entry<T>> {
        let entry = self.live.remove(self.key(kind, handle), kind)?;
        if self.past.len() == REMEMBERED {
            self.past.pop_front();
        }
        self.past.push_back(Past { handle, kind, life, origin: entry.origin });
        if self.numbering.reuse {
            self.space(kind).free.push(handle);
        }
        Some(entry)
    }

    /// The violation of a call with a handle that does not exist.
    pub(crate) fn missing(&self, kind: Kind, handle: u32, call: &'static str) -> Violation {
        let violation = |fault, origin| Violation { fault, kind, handle, call, origin };
        let per_kind = self.numbering.per_kind;
        // In a shared space, the live handle is newer than every past handle of the same number.
        let shared = self.live.get(u64::from(handle)).filter(|_| !per_kind);
        if let Some(other) = shared {
            return violation(Fault::WrongKind(other.kind), Some(other.origin));
        }
        let same = |past: &&Past| past.handle == handle && (!per_kind || past.kind == kind);
        if let Some(past) = self.past.iter().rev().find(same).filter(|past| past.kind == kind) {
            let fault = match past.life {
                Life::Consumed => Fault::ConsumedBefore,
                Life::Dropped => Fault::DroppedBefore,
            };
            return violation(fault, Some(past.origin));
        }
        let spaces = if per_kind { Kind::COUNT as u64 } else { 0 };
        let other = (0..spaces).find_map(|space| self.live.get(space << 32 | u64::from(handle)));
        other.map_or(violation(Fault::Unknown, None), |other| {
            violation(Fault::WrongKind(other.kind), Some(other.origin))
        })
    }

    /// Whether the guest has no handle.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.live.len() == 0
    }

    /// The number of handles that the guest has.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// The number of handles that the table has made. This is the serial number of the next one.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The live handles, in any order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.live.iter()
    }

    /// The live handles from a serial number on, in the order in which they were made.
    pub(crate) fn live_since(&self, since: u64) -> Vec<&Entry<T>> {
        let mut live: Vec<_> = self.live.iter().filter(|entry| entry.serial >= since).collect();
        live.sort_unstable_by_key(|entry| entry.serial);
        live
    }

    /// Forgets the handles from a serial number on. With 0 it forgets all of them, as a host does that drops an instance.
    #[inline]
    pub(crate) fn clear(&mut self, since: u64) {
        self.past.clear();
        if since > 0 {
            return self.clear_newer(since);
        }
        self.live.clear();
        if self.numbering.reuse {
            let first = self.numbering.first;
            for space in &mut self.spaces {
                *space = Space { next: first, wrapped: false, free: Vec::new() };
            }
        }
    }

    #[cold]
    fn clear_newer(&mut self, since: u64) {
        for (kind, handle) in self.live.forget(since) {
            if self.numbering.reuse {
                self.space(kind).free.push(handle);
            }
        }
    }
}

/// Hashes the key of a handle. The host chooses all keys, so a guest cannot make them collide.
#[derive(Debug, Default)]
struct MixNumber(u64);

impl Hasher for MixNumber {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin { call: "new-value", location: None };
    const MANY: u32 = 200_000;

    /// With a walk over the table at each call, this test takes minutes.
    #[test]
    fn many_handles_in_any_order_with_every_numbering() {
        for (per_kind, reuse, first) in
            [(false, false, 3), (true, false, 0), (false, true, 0), (true, true, u32::MAX - 1)]
        {
            let mut table = Table::new(Numbering { per_kind, first, reuse });
            let made: Vec<_> = (0..MANY).map(|object| table.insert(Kind::Value, ORIGIN, object)).collect();
            for (object, handle) in made.iter().enumerate().filter(|(object, _)| object % 2 == 0) {
                let entry = table.remove(Kind::Value, *handle, Life::Dropped).unwrap();
                assert_eq!(entry.object as usize, object);
            }
            for _ in 0..MANY / 2 {
                table.insert(Kind::Value, ORIGIN, 0);
            }
            assert_eq!(table.len(), MANY as usize);
            assert!(table.past.len() <= REMEMBERED);
            let numbers: std::collections::HashSet<_> = table.iter().map(|entry| entry.handle).collect();
            assert_eq!(numbers.len(), MANY as usize, "each live handle has a number of its own");
            table.clear(0);
            assert!(table.is_empty());
        }
    }

    #[test]
    fn numbers_that_wrap_pass_over_live_handles() {
        let mut table = Table::new(Numbering { per_kind: false, first: u32::MAX, reuse: false });
        assert_eq!(table.insert(Kind::Value, ORIGIN, ()), u32::MAX);
        assert_eq!(table.insert(Kind::Value, ORIGIN, ()), 0);
        table.spaces[0].next = u32::MAX;
        assert_eq!(table.insert(Kind::Value, ORIGIN, ()), 1);
    }
}
