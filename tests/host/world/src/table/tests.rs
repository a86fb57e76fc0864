//! The table against a list, at its limits and in any order.

use super::places::{NEAR, REMEMBERED};
use super::*;

const ORIGIN: Origin = Origin { call: "new-value", location: None };
const MANY: u32 = 200_000;

/// If each call walked over the table, this test would take minutes.
#[test]
fn many_handles_in_any_order_with_every_numbering() {
    for (per_kind, reuse, first) in [(false, false, 3), (true, false, 0), (false, true, 0), (true, true, u32::MAX - 1)]
    {
        let mut table = Table::new(Numbering { per_kind, first, reuse });
        let made: Vec<_> = (0..MANY).map(|object| table.insert(HandleKind::Value, ORIGIN, object)).collect();
        for (object, handle) in made.iter().enumerate().filter(|(object, _)| object % 2 == 0) {
            assert_eq!(table.remove(HandleKind::Value, *handle, Life::Dropped), u32::try_from(object).ok());
        }
        for _ in 0..MANY / 2 {
            table.insert(HandleKind::Value, ORIGIN, 0);
        }
        assert_eq!(table.len(), MANY as usize);
        assert!(table.places.past.len() <= REMEMBERED);
        let numbers: std::collections::HashSet<_> = table.live_since(0).iter().map(|(made, _)| made.handle).collect();
        assert_eq!(numbers.len(), MANY as usize, "each live handle has a number of its own");
        table.clear(0);
        assert!(table.is_empty());
        assert!(table.places.far.capacity() < 4 * REMEMBERED, "an event does not keep the memory of an earlier one");
    }
}

/// A model of the table, without places.
#[derive(Default)]
struct Model {
    live: Vec<(HandleKind, u32, u32)>,
    /// The newest is the last.
    past: Vec<(HandleKind, u32, Life)>,
}

#[test]
fn handles_in_places_answer_as_handles_in_a_list() {
    const KINDS: [HandleKind; 3] = [HandleKind::Bucket, HandleKind::Payload, HandleKind::Value];
    for (per_kind, reuse, first) in [(false, false, 3), (true, false, 0), (false, true, 5), (true, true, u32::MAX - 9)]
    {
        let mut table = Table::new(Numbering { per_kind, first, reuse });
        let mut model = Model::default();
        let mut random = 1_usize;
        for object in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (act, any) = (random >> 60, random >> 33);
            match act {
                0..6 => {
                    let kind = KINDS[any % KINDS.len()];
                    model.live.push((kind, table.insert(kind, ORIGIN, object), object));
                }
                6..12 if !model.live.is_empty() => {
                    let (kind, handle, object) = model.live.swap_remove(any % model.live.len());
                    let life = if act % 2 == 0 { Life::Dropped } else { Life::Consumed };
                    assert_eq!(table.remove(HandleKind::Error, handle, life), None, "it is of another kind");
                    assert_eq!(table.remove(kind, handle, life), Some(object));
                    assert_eq!(table.remove(kind, handle, life), None, "it is gone");
                    model.past.push((kind, handle, life));
                }
                12..15 if !model.live.is_empty() => {
                    let (kind, handle, object) = model.live[any % model.live.len()];
                    assert_eq!(table.get(kind, handle).copied(), Some(object));
                }
                15 if any % 32 == 0 => {
                    table.clear(0);
                    model = Model::default();
                    assert_eq!(table.missing(HandleKind::Bucket, 3, "test").fault, Fault::Unknown);
                }
                _ => {}
            }
            assert_eq!(table.len(), model.live.len());
            // A handle in a place can leave it after handles that the guest gave up later.
            let latest = model.past.len().saturating_sub(REMEMBERED - NEAR);
            let Some(&(kind, handle, _)) = model.past[latest..].get(any % (REMEMBERED - NEAR)) else { continue };
            let same = |other: HandleKind, number: u32| number == handle && (!per_kind || other == kind);
            if model.live.iter().any(|(other, number, _)| same(*other, *number)) {
                continue;
            }
            let last = model.past.iter().rev().find(|(other, number, _)| same(*other, *number));
            let &(kind, _, life) = last.expect("it is in the list");
            let fault = if life == Life::Dropped { Fault::DroppedBefore } else { Fault::ConsumedBefore };
            assert_eq!(table.missing(kind, handle, "test").fault, fault, "{kind} {handle}");
        }
    }
}

#[test]
fn a_handle_whose_place_another_one_took_is_still_live() {
    let mut table = Table::new(Numbering::default());
    let made: Vec<_> = (0..=NEAR).map(|object| table.insert(HandleKind::Value, ORIGIN, object)).collect();
    let (first, last) = (made[0], made[NEAR]);
    assert_eq!(Places::<usize>::at(first.into()), Places::<usize>::at(last.into()), "they have the same place");
    assert_eq!(table.get(HandleKind::Value, first).copied(), Some(0));
    assert_eq!(table.get(HandleKind::Value, last).copied(), Some(NEAR));
    assert_eq!(table.missing(HandleKind::Bucket, first, "test").fault, Fault::WrongKind(HandleKind::Value));
    assert_eq!(table.remove(HandleKind::Value, first, Life::Dropped), Some(0));
    assert_eq!(table.remove(HandleKind::Value, last, Life::Consumed), Some(NEAR));
    assert_eq!(table.missing(HandleKind::Value, first, "test").fault, Fault::DroppedBefore);
    assert_eq!(table.missing(HandleKind::Value, last, "test").fault, Fault::ConsumedBefore);
    assert_eq!(table.len(), NEAR - 1);
}

#[test]
fn handles_that_are_older_than_an_event_stay_in_their_places() {
    let mut table = Table::new(Numbering::default());
    let old: Vec<_> = (0..2 * NEAR).map(|object| table.insert(HandleKind::Value, ORIGIN, object)).collect();
    let since = table.serial();
    let new: Vec<_> = (0..2 * NEAR).map(|object| table.insert(HandleKind::Value, ORIGIN, object)).collect();
    table.remove(HandleKind::Value, new[0], Life::Dropped);
    table.clear(since);
    assert_eq!(table.len(), old.len());
    assert_eq!(table.missing(HandleKind::Value, new[0], "test").fault, Fault::Unknown);
    for (object, handle) in old.into_iter().enumerate() {
        assert_eq!(table.remove(HandleKind::Value, handle, Life::Dropped), Some(object));
    }
    assert!(table.is_empty());
}

#[test]
fn numbers_that_wrap_pass_over_live_handles() {
    let mut table = Table::new(Numbering { per_kind: false, first: u32::MAX, reuse: false });
    assert_eq!(table.insert(HandleKind::Value, ORIGIN, ()), u32::MAX);
    assert_eq!(table.insert(HandleKind::Value, ORIGIN, ()), 0);
    table.spaces[0].next = u32::MAX;
    assert_eq!(table.insert(HandleKind::Value, ORIGIN, ()), 1);
}
