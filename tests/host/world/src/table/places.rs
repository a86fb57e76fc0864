//! The places of the handles of a table.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::mem;

use crate::accounts::{HandleKind, Origin};

/// A handle and its origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub(crate) handle: u32,
    pub(crate) kind: HandleKind,
    pub(crate) origin: Origin,
    /// The number of handles that the table had made before this one.
    pub(super) serial: u64,
}

/// How a guest gave up a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Dropped,
    Consumed,
}

/// The handles by their keys, and the objects that the live ones stand for.
///
/// Each key has one place in `near`. A handle moves there when it is made or used. If the place is taken, the other handle moves
/// to `far`, or to `past` if it is not live. Handles get consecutive numbers, so the few handles of a typical event have different
/// places.
#[derive(Debug)]
pub(super) struct Places<T> {
    near: [Place<T>; NEAR],
    /// A bit for each place in `near`: whether the guest gave up its handle in this event.
    given_up: u8,
    pub(super) far: HashMap<u64, (Made, T), BuildHasherDefault<MixNumber>>,
    /// Whether `far` was used since it was last made small.
    was_far: bool,
    /// Handles that the guest gave up earlier in this event, and that have no place in `near`. The newest is the last.
    pub(super) past: VecDeque<(Made, Life)>,
    /// The number of live handles.
    count: usize,
}

#[derive(Debug)]
pub(super) struct Place<T> {
    key: u64,
    pub(super) made: Made,
    /// The object of a live handle.
    pub(super) object: Option<T>,
    /// How the guest gave up this handle, if it did so in this event.
    life: Life,
}

/// A typical event has two to four live handles.
pub(super) const NEAR: usize = u8::BITS as usize;

/// The most handles in `past`. They explain why a handle is missing.
pub(super) const REMEMBERED: usize = 64;

impl<T> Places<T> {
    pub(super) fn new() -> Self {
        let made = Made { handle: 0, kind: HandleKind::Bucket, origin: Origin { call: "", location: None }, serial: 0 };
        let near = std::array::from_fn(|_| Place { key: 0, made, object: None, life: Life::Dropped });
        Self { near, given_up: 0, far: HashMap::default(), was_far: false, past: VecDeque::new(), count: 0 }
    }

    /// The number of live handles.
    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The place of a key.
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
    #[inline]
    pub(super) fn at(key: u64) -> usize {
        // The upper half is the kind if each kind counts for itself.
        ((key ^ key >> 32) % NEAR as u64) as usize
    }

    /// Adds a live handle with a key that no live handle has.
    #[expect(clippy::inline_always, reason = "as for `Table::insert`")]
    #[inline(always)]
    pub(super) fn insert(&mut self, key: u64, made: Made, object: T) {
        let at = Self::at(key);
        if self.near[at].object.is_some() || self.given_up & 1 << at != 0 {
            self.vacate(at);
        }
        self.count += 1;
        let place = &mut self.near[at];
        place.key = key;
        place.made = made;
        // The place has no object. The compiler does not see that, and would drop one.
        mem::forget(place.object.replace(object));
    }

    /// Makes room in a place that is taken.
    #[cold]
    fn vacate(&mut self, at: usize) {
        let place = &mut self.near[at];
        if let Some(object) = place.object.take() {
            self.far.insert(place.key, (place.made, object));
            self.was_far = true;
        } else {
            self.given_up &= !(1 << at);
            if self.past.len() == REMEMBERED {
                self.past.pop_front();
            }
            self.past.push_back((place.made, place.life));
        }
    }

    /// The place of the live handle of this key.
    #[inline]
    pub(super) fn find(&mut self, key: u64) -> Option<&mut Place<T>> {
        let at = Self::at(key);
        if self.near[at].key != key || self.near[at].object.is_none() {
            self.bring_near(key)?;
        }
        Some(&mut self.near[at])
    }

    #[cold]
    fn bring_near(&mut self, key: u64) -> Option<()> {
        let (made, object) = self.far.remove(&key)?;
        self.count -= 1;
        self.insert(key, made, object);
        Some(())
    }

    /// The live handle of this key, which stays where it is.
    pub(super) fn made(&self, key: u64) -> Option<&Made> {
        let place = &self.near[Self::at(key)];
        if place.key == key && place.object.is_some() {
            return Some(&place.made);
        }
        self.far.get(&key).map(|(made, _)| made)
    }

    /// Takes the handle of this key from the guest if it is of this kind, and returns its object.
    #[inline]
    pub(super) fn remove(&mut self, key: u64, kind: HandleKind, life: Life) -> Option<T> {
        let place = self.find(key).filter(|place| place.made.kind == kind)?;
        place.life = life;
        let object = place.object.take();
        self.given_up |= 1 << Self::at(key);
        self.count -= 1;
        object
    }

    /// The handles that the guest gave up. If two of them have the same key, the newer one is first.
    pub(super) fn given_up(&self) -> impl Iterator<Item = (&Made, Life)> {
        let near = self.near.iter().enumerate().filter(|(at, _)| self.given_up & 1 << at != 0);
        let near = near.map(|(_, place)| (&place.made, place.life));
        near.chain(self.past.iter().rev().map(|(made, life)| (made, *life)))
    }

    /// The live handles with their objects, in any order.
    pub(super) fn live(&self) -> impl Iterator<Item = (&Made, &T)> {
        let near = self.near.iter().filter_map(|place| Some((&place.made, place.object.as_ref()?)));
        near.chain(self.far.values().map(|(made, object)| (made, object)))
    }

    /// Forgets the live handles from a serial number on, and returns them.
    pub(super) fn forget(&mut self, since: u64) -> Vec<Made> {
        let mut forgotten = Vec::new();
        let mut forget = |made: &Made| {
            let newer = made.serial >= since;
            if newer {
                forgotten.push(*made);
            }
            newer
        };
        for place in &mut self.near {
            place.object.take_if(|_| forget(&place.made));
        }
        self.far.retain(|_, (made, _)| !forget(made));
        self.count -= forgotten.len();
        forgotten
    }

    #[inline]
    pub(super) fn forget_all(&mut self) {
        if self.count > 0 {
            self.near.iter_mut().for_each(|place| place.object = None);
            self.far.clear();
            self.count = 0;
        }
        // After one event with many handles, later events must not take more memory or time.
        if self.was_far {
            self.far.shrink_to(REMEMBERED);
            self.was_far = false;
        }
    }

    #[inline]
    pub(super) fn forget_past(&mut self) {
        self.given_up = 0;
        if !self.past.is_empty() {
            self.past.clear();
        }
    }
}

/// Hashes the key of a handle. The host chooses all keys, so a guest cannot make them collide.
#[derive(Debug, Default)]
pub(super) struct MixNumber(u64);

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
