//! Primitives that change lists. A list that becomes empty is removed with its key.

use super::{KeyspaceMut, WrongType};
use crate::Key;
use crate::effect::{Effect, Elements, Event};
use crate::entry::{NewValue, Type};
use crate::table::Found;
use crate::types::list::{List, Side};

fn push_event(side: Side) -> Event {
    Event::list(if side == Side::Head { "lpush" } else { "rpush" })
}

fn pop_event(side: Side) -> Event {
    Event::list(if side == Side::Head { "lpop" } else { "rpop" })
}

impl KeyspaceMut<'_, '_> {
    /// The place of a live list.
    #[inline]
    fn list_place(&mut self, key: &Key<'_>) -> Result<Option<Found>, WrongType> {
        let clock = self.clock();
        let Some(found) = self.live_place(key) else { return Ok(None) };
        let entry = self.table_mut(key).entry_at(found);
        if entry.data_type() != Type::List {
            return Err(WrongType);
        }
        entry.set_clock(clock);
        Ok(Some(found))
    }

    #[inline]
    fn change_list<R>(&mut self, key: &Key<'_>, found: Found, change: impl FnOnce(&mut List) -> R) -> R {
        self.table_mut(key)
            .with_entry(found, |entry| change(entry.list_mut().expect("list_place has checked the type")))
    }

    /// Removes the key of a list that has become empty.
    #[inline]
    fn remove_if_empty(&mut self, key: &Key<'_>, found: Found) {
        if self.change_list(key, found, |list| list.is_empty()) {
            self.remove_at(key, found);
            self.notify(Event::generic("del"), key.bytes);
        }
    }

    /// Pushes elements one after the other to one end and returns the new length. An absent list is made
    /// when `create` is set; without, `None` is returned and nothing happens.
    #[inline]
    pub fn list_push(
        &mut self,
        key: &Key<'_>,
        side: Side,
        elements: Elements<'_>,
        create: bool,
    ) -> Result<Option<usize>, WrongType> {
        let describe = || Effect::ListPush { key: key.bytes, side, elements };
        let len = match self.list_place(key)? {
            Some(found) => {
                self.foresee(key, describe);
                self.change_list(key, found, |list| {
                    elements.for_each(|element| list.push(side, element));
                    list.len()
                })
            }
            None if !create => return Ok(None),
            None => {
                self.foresee(key, describe);
                let mut list = Box::new(List::new());
                elements.for_each(|element| list.push(side, element));
                let len = list.len();
                self.insert_new(key, NewValue::List(list), None);
                len
            }
        };
        self.changes_mut().dirty += elements.len() as u64 - 1;
        self.emit(key, || (describe(), push_event(side)));
        Ok(Some(len))
    }

    /// Takes up to `count` elements (at least one) from one end, handing each to `take`, and returns how
    /// many; `None` when there is no list.
    #[inline]
    pub fn list_pop(
        &mut self,
        key: &Key<'_>,
        side: Side,
        count: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, WrongType> {
        let Some(found) = self.list_place(key)? else { return Ok(None) };
        if count > 0 {
            self.foresee(key, || Effect::ListPop { key: key.bytes, side, count: count as u64 });
        }
        let taken = self.change_list(key, found, |list| {
            let taken = count.min(list.len());
            (0..taken).for_each(|_| {
                list.pop_with(side, &mut take);
            });
            taken
        });
        if taken > 0 {
            self.changes_mut().dirty += taken as u64 - 1;
            self.emit(key, || {
                (Effect::ListPop { key: key.bytes, side, count: taken as u64 }, pop_event(side))
            });
            self.remove_if_empty(key, found);
        }
        Ok(Some(taken))
    }

    /// Moves one element between two lists, or within one, and returns it; `None` when there is no source.
    pub fn list_move(
        &mut self,
        from: &Key<'_>,
        to: &Key<'_>,
        from_side: Side,
        to_side: Side,
    ) -> Result<Option<Vec<u8>>, WrongType> {
        if self.list_place(from)?.is_none() {
            return Ok(None);
        }
        // Looking at the destination may remove it, expired, and so move the source's slot.
        self.list_place(to)?;
        let Some(from_found) = self.list_place(from)? else { return Ok(None) };
        self.foresee(from, || Effect::ListPop { key: from.bytes, side: from_side, count: 1 });
        self.foresee(to, || {
            let elements = Elements::One(&[]);
            Effect::ListPush { key: to.bytes, side: to_side, elements }
        });
        let Some(element) = self.change_list(from, from_found, |list| list.pop(from_side)) else {
            return Ok(None);
        };
        match self.list_place(to)? {
            Some(found) => self.change_list(to, found, |list| list.push(to_side, &element)),
            None => {
                let mut list = Box::new(List::new());
                list.push(to_side, &element);
                self.insert_new(to, NewValue::List(list), None);
            }
        }
        let db = self.db();
        self.notify(push_event(to_side), to.bytes);
        let effect = Effect::ListMove { from: from.bytes, to: to.bytes, from_side, to_side };
        self.emit(from, || (effect, pop_event(from_side)));
        self.signal(db, to);
        // The insertion above may have moved the source's slot.
        if let Some(found) = self.list_place(from)? {
            self.remove_if_empty(from, found);
        }
        Ok(Some(element))
    }

    /// Replaces the element at `index`; false when there is none.
    pub fn list_set(&mut self, key: &Key<'_>, index: usize, element: &[u8]) -> Result<bool, WrongType> {
        let Some(found) = self.list_place(key)? else { return Ok(false) };
        let inside = self.change_list(key, found, |list| index < list.len());
        if inside {
            let effect = Effect::ListSet { key: key.bytes, index: index as u64, element };
            self.foresee(key, || effect);
            self.change_list(key, found, |list| list.set(index, element));
            self.emit(key, || (effect, Event::list("lset")));
        }
        Ok(inside)
    }

    /// Inserts next to the first element equal to `pivot`. The new length; `Some(None)` when no element
    /// equals the pivot; `None` when there is no list.
    pub fn list_insert(
        &mut self,
        key: &Key<'_>,
        pivot: &[u8],
        before: bool,
        element: &[u8],
    ) -> Result<Option<Option<usize>>, WrongType> {
        let Some(found) = self.list_place(key)? else { return Ok(None) };
        let pivot_at =
            self.change_list(key, found, |list| list.iter().position(|candidate| candidate == pivot));
        let Some(pivot_at) = pivot_at else { return Ok(Some(None)) };
        let effect = Effect::ListInsert { key: key.bytes, pivot, before, element };
        self.foresee(key, || effect);
        let len = self.change_list(key, found, |list| {
            list.insert(pivot_at + usize::from(!before), element);
            list.len()
        });
        self.emit(key, || (effect, Event::list("linsert")));
        Ok(Some(Some(len)))
    }

    /// Removes elements equal to `element`: the first `count`, the last `-count`, or all for 0; returns how many.
    pub fn list_remove(&mut self, key: &Key<'_>, count: i64, element: &[u8]) -> Result<usize, WrongType> {
        let Some(found) = self.list_place(key)? else { return Ok(0) };
        let from = if count < 0 { Side::Tail } else { Side::Head };
        let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
        if self.is_observed()
            && self.change_list(key, found, |list| list.iter().any(|candidate| candidate == element))
        {
            self.foresee(key, || Effect::ListRemove { key: key.bytes, count, element });
        }
        let removed =
            self.change_list(key, found, |list| list.remove_where(from, limit, |other| other == element));
        if removed > 0 {
            self.changes_mut().dirty += removed as u64 - 1;
            self.emit(key, || (Effect::ListRemove { key: key.bytes, count, element }, Event::list("lrem")));
            self.remove_if_empty(key, found);
        }
        Ok(removed)
    }

    /// Keeps only the elements between two indices, which may count from the tail (-1 is the last). Trimming
    /// nothing is an event, and a change to those who watch the key, but has no effect.
    pub fn list_trim(&mut self, key: &Key<'_>, start: i64, stop: i64) -> Result<(), WrongType> {
        let Some(found) = self.list_place(key)? else { return Ok(()) };
        let (before, behind) = self.change_list(key, found, |list| {
            let kept = clamp_range(start, stop, list.len());
            (kept.start, list.len() - kept.end)
        });
        let trimmed = before + behind;
        if trimmed == 0 {
            let db = self.db();
            self.notify(Event::list("ltrim"), key.bytes);
            self.signal(db, key);
            return Ok(());
        }
        let effect = Effect::ListTrim { key: key.bytes, start, stop };
        self.foresee(key, || effect);
        self.change_list(key, found, |list| {
            list.drop_from(Side::Tail, behind);
            list.drop_from(Side::Head, before);
        });
        self.changes_mut().dirty += trimmed as u64 - 1;
        self.emit(key, || (effect, Event::list("ltrim")));
        self.remove_if_empty(key, found);
        Ok(())
    }
}

/// The positions that Redis's inclusive range `start..=stop` selects from `len` elements; negative indices
/// count from the end. An empty selection is `len..len` or starts at its end.
pub fn clamp_range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { (index.saturating_add(len)).max(0) } else { index };
    // A stop before the first element selects nothing, also after clamping.
    if stop < 0 && stop.saturating_add(len) < 0 {
        return 0..0;
    }
    let start = from_end(start).min(len);
    let stop = from_end(stop).min(len - 1);
    if start > stop { start as usize..start as usize } else { start as usize..stop as usize + 1 }
}
