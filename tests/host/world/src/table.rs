//! The table of an instance's handles.

mod places;
#[cfg(test)]
mod tests;

use crate::accounts::{Fault, HandleKind, Origin, Violation};
use crate::numbering::Numbering;

use places::Places;
pub(crate) use places::{Life, Made};

/// All handles of an instance. `insert`, `get` and `remove` take constant time in any order and with every [`Numbering`].
#[derive(Debug)]
pub(crate) struct Table<T> {
    numbering: Numbering,
    places: Places<T>,
    spaces: [Space; HandleKind::COUNT],
    serial: u64,
}

/// The numbers of one counter. All kinds share the first space, unless each kind counts for itself.
#[derive(Debug)]
struct Space {
    next: u32,
    /// Whether `next` has passed `u32::MAX`, so that a live handle can have the next number.
    wrapped: bool,
    /// Numbers of dropped handles, for hosts that reuse them.
    free: Vec<u32>,
}

impl Space {
    fn new(first: u32) -> Self {
        Self { next: first, wrapped: false, free: Vec::new() }
    }

    #[inline]
    fn advance(&mut self) -> u32 {
        let handle = self.next;
        self.next = handle.wrapping_add(1);
        self.wrapped |= self.next == 0;
        handle
    }
}

impl<T> Table<T> {
    pub(crate) fn new(numbering: Numbering) -> Self {
        let spaces = std::array::from_fn(|_| Space::new(numbering.first));
        Self { numbering, places: Places::new(), spaces, serial: 0 }
    }

    #[inline]
    fn space(&mut self, kind: HandleKind) -> &mut Space {
        &mut self.spaces[if self.numbering.per_kind { kind as usize } else { 0 }]
    }

    /// The key of a handle. Kinds that count for themselves have different keys for equal numbers.
    #[inline]
    fn key(&self, kind: HandleKind, handle: u32) -> u64 {
        let space = if self.numbering.per_kind { kind as u64 } else { 0 };
        space << 32 | u64::from(handle)
    }

    #[expect(clippy::inline_always, reason = "an object that is moved takes longer than one that is made in its place")]
    #[inline(always)]
    pub(crate) fn insert(&mut self, kind: HandleKind, origin: Origin, object: T) -> u32 {
        let handle = self.unused(kind);
        let made = Made { handle, kind, origin, serial: self.serial };
        self.serial += 1;
        self.places.insert(self.key(kind, handle), made, object);
        handle
    }

    /// A number that no live handle has.
    #[inline]
    fn unused(&mut self, kind: HandleKind) -> u32 {
        let space = self.space(kind);
        match space.free.pop() {
            Some(handle) => handle,
            None if space.wrapped => self.unused_again(kind),
            None => space.advance(),
        }
    }

    /// The next number that no live handle has, after the numbers started again.
    #[cold]
    fn unused_again(&mut self, kind: HandleKind) -> u32 {
        loop {
            let handle = self.space(kind).advance();
            if self.places.made(self.key(kind, handle)).is_none() {
                return handle;
            }
        }
    }

    /// The object of a live handle of this kind.
    #[inline]
    pub(crate) fn get(&mut self, kind: HandleKind, handle: u32) -> Option<&mut T> {
        self.places.find(self.key(kind, handle)).filter(|place| place.made.kind == kind)?.object.as_mut()
    }

    /// The origin of a live handle of this kind.
    pub(crate) fn origin(&self, kind: HandleKind, handle: u32) -> Option<Origin> {
        let made = self.places.made(self.key(kind, handle))?;
        (made.kind == kind).then_some(made.origin)
    }

    /// Takes a handle from the guest, and returns its object.
    #[inline]
    pub(crate) fn remove(&mut self, kind: HandleKind, handle: u32, life: Life) -> Option<T> {
        if self.numbering.reuse {
            self.free(kind, handle);
        }
        self.places.remove(self.key(kind, handle), kind, life)
    }

    /// Lets a later handle have the number of this one.
    #[cold]
    fn free(&mut self, kind: HandleKind, handle: u32) {
        if self.get(kind, handle).is_some() {
            self.space(kind).free.push(handle);
        }
    }

    /// The violation of a call with a handle that does not exist.
    pub(crate) fn missing(&self, kind: HandleKind, handle: u32, call: &'static str) -> Violation {
        let violation = |fault, origin| Violation { fault, kind, handle, call, origin };
        let per_kind = self.numbering.per_kind;
        // In a shared space, the live handle is newer than every past handle of the same number.
        let shared = self.places.made(u64::from(handle)).filter(|_| !per_kind);
        if let Some(other) = shared {
            return violation(Fault::WrongKind(other.kind), Some(other.origin));
        }
        let same = |(past, _): &(&Made, Life)| past.handle == handle && (!per_kind || past.kind == kind);
        if let Some((past, life)) = self.places.given_up().find(same).filter(|(past, _)| past.kind == kind) {
            let fault = match life {
                Life::Consumed => Fault::ConsumedBefore,
                Life::Dropped => Fault::DroppedBefore,
            };
            return violation(fault, Some(past.origin));
        }
        let spaces = if per_kind { HandleKind::COUNT as u64 } else { 0 };
        let other = (0..spaces).find_map(|space| self.places.made(space << 32 | u64::from(handle)));
        other.map_or(violation(Fault::Unknown, None), |other| {
            violation(Fault::WrongKind(other.kind), Some(other.origin))
        })
    }

    /// Whether the guest has no handle.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.places.count() == 0
    }

    /// The number of handles that the guest has.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.places.count()
    }

    /// The number of handles that the table has made. This is the serial number of the next one.
    #[inline]
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The objects of the live handles, in any order.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &T> {
        self.places.live().map(|(_, object)| object)
    }

    /// The live handles from a serial number on, with their objects, in the order in which they were made.
    pub(crate) fn live_since(&self, since: u64) -> Vec<(&Made, &T)> {
        let mut live: Vec<_> = self.places.live().filter(|(made, _)| made.serial >= since).collect();
        live.sort_unstable_by_key(|(made, _)| made.serial);
        live
    }

    /// Forgets the handles from a serial number on. With 0 it forgets all handles, like a host that drops an instance.
    #[inline]
    pub(crate) fn clear(&mut self, since: u64) {
        self.places.forget_past();
        if since > 0 {
            return self.clear_newer(since);
        }
        self.places.forget_all();
        if self.numbering.reuse {
            self.spaces = std::array::from_fn(|_| Space::new(self.numbering.first));
        }
    }

    #[cold]
    fn clear_newer(&mut self, since: u64) {
        for Made { kind, handle, .. } in self.places.forget(since) {
            if self.numbering.reuse {
                self.space(kind).free.push(handle);
            }
        }
    }
}
