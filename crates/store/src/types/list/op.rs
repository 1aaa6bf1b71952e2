//! What lists are changed by: every op, what takes it back, and the editor's functions that do it.

use super::{List, Side};
use crate::Key;
use crate::effect::{Elements, Event};
use crate::keyspace::{Absent, Editor, KeyspaceMut, Misfit, WrongType};
use crate::types::limits::{EncodingLimits, NodeLimit};
use crate::types::range;

/// A change to a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ListOp<'a> {
    /// Elements pushed one after the other to one end.
    Push {
        /// The end.
        side: Side,
        /// The elements, at least one.
        elements: Elements<'a>,
    },
    /// Elements taken from one end.
    Pop {
        /// The end.
        side: Side,
        /// How many.
        count: u64,
    },
    /// One element moved from one end to one end: the list is never empty meanwhile.
    Rotate {
        /// Where it was.
        from: Side,
        /// Where it comes to.
        to: Side,
    },
    /// The element at an index, from the head, replaced.
    Set {
        /// The index.
        index: u64,
        /// The element that is there now.
        element: &'a [u8],
    },
    /// An element put next to the first one equal to another.
    Insert {
        /// The other.
        pivot: &'a [u8],
        /// Before it, or behind.
        before: bool,
        /// The new element.
        element: &'a [u8],
    },
    /// An element put at an index; what was there is behind it. Merging makes it; LINSERT is [`ListOp::Insert`].
    InsertAt {
        /// The index it has then, at most the length.
        index: u64,
        /// The new element.
        element: &'a [u8],
    },
    /// Elements equal to one removed.
    Remove {
        /// How many of the first, of the last if negative; all for 0.
        count: i64,
        /// What they are equal to.
        element: &'a [u8],
    },
    /// The element at an index removed. Merging makes it.
    RemoveAt {
        /// The index.
        index: u64,
    },
    /// Only the elements of a range that includes both its ends remain; negative indices count from the tail.
    Trim {
        /// The first that remains.
        start: i64,
        /// The last.
        stop: i64,
    },
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const PUSH: u8 = 7;
    pub const POP: u8 = 8;
    pub const ROTATE: u8 = 9;
    pub const SET: u8 = 10;
    pub const INSERT: u8 = 11;
    pub const INSERT_AT: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const REMOVE_AT: u8 = 14;
    pub const TRIM: u8 = 15;
    /// All of them.
    pub const ALL: [u8; 9] = [PUSH, POP, ROTATE, SET, INSERT, INSERT_AT, REMOVE, REMOVE_AT, TRIM];
}

impl ListOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            ListOp::Push { .. } => tag::PUSH,
            ListOp::Pop { .. } => tag::POP,
            ListOp::Rotate { .. } => tag::ROTATE,
            ListOp::Set { .. } => tag::SET,
            ListOp::Insert { .. } => tag::INSERT,
            ListOp::InsertAt { .. } => tag::INSERT_AT,
            ListOp::Remove { .. } => tag::REMOVE,
            ListOp::RemoveAt { .. } => tag::REMOVE_AT,
            ListOp::Trim { .. } => tag::TRIM,
        }
    }
}

/// What takes a change to a list back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListUndo {
    /// So many elements came to one end.
    Pushed(Side, usize),
    /// Elements, the first taken first, of one end.
    Popped(Side, Vec<Vec<u8>>),
    /// One element went from the first end to the second.
    Rotated(Side, Side),
    /// The element at an index.
    Element(usize, Vec<u8>),
    /// An element came to this index.
    Inserted(usize),
    /// Elements with the indices they had, ascending.
    Removed(Vec<(usize, Vec<u8>)>),
}

/// What LINSERT came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The list has this length now.
    Len(usize),
    /// No element equals the pivot.
    NoPivot,
}

fn push_event(side: Side) -> Event {
    Event::list(if side == Side::Head { "lpush" } else { "rpush" })
}

fn pop_event(side: Side) -> Event {
    Event::list(if side == Side::Head { "lpop" } else { "rpop" })
}

impl Editor<'_, List> {
    #[inline(always)]
    fn limit(&self) -> NodeLimit {
        self.limits().list_node
    }

    /// Pushes elements one after the other to one end and returns the new length.
    #[inline(always)]
    pub fn push(&mut self, side: Side, elements: Elements<'_>) -> usize {
        let (count, limit) = (elements.len(), self.limit());
        self.alter(
            |_| ListUndo::Pushed(side, count),
            |list| {
                list.push(side, elements, limit);
                (list.len(), count as u64)
            },
            |_| (ListOp::Push { side, elements }, push_event(side)),
        )
    }

    /// Takes up to `count` elements from one end, hands each to `take`, and returns how many.
    #[inline]
    pub fn pop(&mut self, side: Side, count: usize, mut take: impl FnMut(&[u8])) -> usize {
        let (taken, limit) = (count.min(self.len()), self.limit());
        self.alter(
            |list| ListUndo::Popped(side, list.ends(side, taken)),
            |list| {
                (0..taken).for_each(|_| {
                    list.pop_with(side, limit, &mut take);
                });
                (taken, taken as u64)
            },
            |_| (ListOp::Pop { side, count: taken as u64 }, pop_event(side)),
        )
    }

    /// Moves one element from one end to one end and returns it.
    pub fn rotate(&mut self, from: Side, to: Side) -> Option<Vec<u8>> {
        let limit = self.limit();
        let rotated = self.alter(
            |_| ListUndo::Rotated(from, to),
            |list| match list.rotate(from, to, limit) {
                Some(element) => (Some(element), 1),
                None => (None, 0),
            },
            |_| (ListOp::Rotate { from, to }, push_event(to)),
        );
        if rotated.is_some() {
            self.touch(pop_event(from));
        }
        rotated
    }

    /// Replaces the element at `index`; false when there is none.
    pub fn set(&mut self, index: usize, element: &[u8]) -> bool {
        if index >= self.len() {
            return false;
        }
        let limit = self.limit();
        self.alter(
            |list| ListUndo::Element(index, list.get(index).unwrap_or_default().to_vec()),
            |list| {
                ((), {
                    list.set(index, element, limit);
                    1
                })
            },
            |()| (ListOp::Set { index: index as u64, element }, Event::list("lset")),
        );
        true
    }

    /// Inserts next to the first element equal to `pivot`.
    pub fn insert(&mut self, pivot: &[u8], before: bool, element: &[u8]) -> Inserted {
        let Some(pivot_at) = self.iter().position(|candidate| candidate == pivot) else {
            return Inserted::NoPivot;
        };
        let (index, limit) = (pivot_at + usize::from(!before), self.limit());
        let len = self.alter(
            |_| ListUndo::Inserted(index),
            |list| {
                list.insert(index, element, limit);
                (list.len(), 1)
            },
            |_| (ListOp::Insert { pivot, before, element }, Event::list("linsert")),
        );
        Inserted::Len(len)
    }

    /// Inserts an element so that it has `index`, which is at most the length.
    fn insert_at(&mut self, index: usize, element: &[u8]) {
        match index {
            0 => _ = self.push(Side::Head, Elements::One(element)),
            index if index == self.len() => _ = self.push(Side::Tail, Elements::One(element)),
            _ => {
                let limit = self.limit();
                let act = |list: &mut List| list.insert(index, element, limit);
                self.alter_as_whole(|_| ListUndo::Inserted(index), act, Event::list("linsert"));
            }
        }
    }

    /// Removes elements equal to `element`: the first `count`, the last `-count`, or all for 0; returns how many.
    pub fn remove(&mut self, count: i64, element: &[u8]) -> usize {
        let from = if count < 0 { Side::Tail } else { Side::Head };
        let limit =
            if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
        let node_limit = self.limit();
        self.alter(
            |list| ListUndo::Removed(list.equal_to(element, from, limit)),
            |list| {
                let removed = list.remove_where(from, limit, |other| other == element, node_limit);
                (removed, removed as u64)
            },
            |_| (ListOp::Remove { count, element }, Event::list("lrem")),
        )
    }

    /// Removes the element at `index`, which is there.
    fn remove_at(&mut self, index: usize) {
        if index == 0 || index + 1 == self.len() {
            let side = if index == 0 { Side::Head } else { Side::Tail };
            self.pop(side, 1, |_| {});
            return;
        }
        let undo =
            |list: &List| ListUndo::Removed(vec![(index, list.get(index).unwrap_or_default().to_vec())]);
        let limit = self.limit();
        self.alter_as_whole(undo, |list| list.remove(index, limit), Event::list("lrem"));
    }

    /// Keeps only the elements between two indices, which may count from the tail (-1 is the last). Trimming
    /// nothing is an event, and a change to those who watch the key, but has no effect.
    pub fn trim(&mut self, start: i64, stop: i64) {
        let kept = range::inclusive(start, stop, self.len());
        let (before, behind) = (kept.start, self.len() - kept.end);
        if before + behind == 0 {
            return self.touch(Event::list("ltrim"));
        }
        let limit = self.limit();
        self.alter(
            |list| {
                let indexed = list.iter().enumerate().filter(|(index, _)| !kept.contains(index));
                ListUndo::Removed(indexed.map(|(index, element)| (index, element.to_vec())).collect())
            },
            |list| {
                list.drop_from(Side::Tail, behind, limit);
                list.drop_from(Side::Head, before, limit);
                ((), (before + behind) as u64)
            },
            |()| (ListOp::Trim { start, stop }, Event::list("ltrim")),
        );
    }
}

impl KeyspaceMut<'_, '_> {
    /// Moves one element between two lists, or within one, and returns it; `None` when there is no source.
    ///
    /// # Errors
    /// If either key holds another type.
    pub fn move_element(
        &mut self,
        from: &Key<'_>,
        to: &Key<'_>,
        from_side: Side,
        to_side: Side,
    ) -> Result<Option<Vec<u8>>, WrongType> {
        if from.bytes == to.bytes && from.db == to.db {
            let rotated =
                self.change::<List, _>(from, Absent::Leave, |list| list.rotate(from_side, to_side))?;
            return Ok(rotated.flatten());
        }
        self.transfer::<List>(
            (from, to),
            |list| {
                let mut taken = None;
                list.pop(from_side, 1, |element| taken = Some(element.to_vec()));
                taken
            },
            |list, element| _ = list.push(to_side, Elements::One(element)),
            |element| {
                let elements = Elements::One(element);
                (ListOp::Pop { side: from_side, count: 1 }, ListOp::Push { side: to_side, elements })
            },
        )
    }
}

/// See [`crate::types::collection::Collection::apply`].
pub(super) fn apply(list: &mut Editor<'_, List>, op: &ListOp<'_>) -> Result<(), Misfit> {
    let at = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
    let fits = match *op {
        ListOp::Push { side, elements } => {
            list.push(side, elements);
            !elements.is_empty()
        }
        ListOp::Pop { side, count } => {
            list.pop(side, at(count), |_| {});
            !list.is_new()
        }
        ListOp::Rotate { from, to } => list.rotate(from, to).is_some(),
        ListOp::Set { index, element } => list.set(at(index), element),
        ListOp::Insert { pivot, before, element } => list.insert(pivot, before, element) != Inserted::NoPivot,
        ListOp::InsertAt { index, element } => {
            let fits = !list.is_new() && at(index) <= list.len();
            if fits {
                list.insert_at(at(index), element);
            }
            fits
        }
        // That there is none to remove is no misfit: another may have taken it.
        ListOp::Remove { count, element } => {
            list.remove(count, element);
            true
        }
        ListOp::RemoveAt { index } => {
            let fits = at(index) < list.len();
            if fits {
                list.remove_at(at(index));
            }
            fits
        }
        ListOp::Trim { start, stop } => {
            list.trim(start, stop);
            true
        }
    };
    if fits { Ok(()) } else { Err(Misfit) }
}

/// See [`crate::types::collection::Collection::take_back`].
pub(super) fn take_back(list: &mut List, undo: &ListUndo, limits: &EncodingLimits) {
    let limit = limits.list_node;
    match undo {
        ListUndo::Pushed(side, count) => list.drop_from(*side, *count, limit),
        ListUndo::Popped(side, elements) => {
            elements.iter().rev().for_each(|element| list.push(*side, Elements::One(element), limit))
        }
        ListUndo::Rotated(from, to) => _ = list.rotate(*to, *from, limit),
        ListUndo::Element(index, element) => list.set(*index, element, limit),
        ListUndo::Inserted(index) => list.remove(*index, limit),
        ListUndo::Removed(removed) => put_back(list, removed, limit),
    }
}

/// Puts elements back at the indices they had, ascending: those of the ends first as what they are.
fn put_back(list: &mut List, removed: &[(usize, Vec<u8>)], limit: NodeLimit) {
    let whole = list.len() + removed.len();
    let is_of_head = |(at, (index, _)): &(usize, &(usize, Vec<u8>))| at == index;
    let (head, rest) = removed.split_at(removed.iter().enumerate().take_while(is_of_head).count());
    let is_of_tail = |(behind, (index, _)): &(usize, &(usize, Vec<u8>))| index + behind + 1 == whole;
    let of_tail = rest.iter().rev().enumerate().take_while(is_of_tail).count();
    let (middle, tail) = rest.split_at(rest.len() - of_tail);
    head.iter().rev().for_each(|(_, element)| list.push(Side::Head, Elements::One(element), limit));
    middle.iter().for_each(|(index, element)| list.insert(*index, element, limit));
    tail.iter().for_each(|(_, element)| list.push(Side::Tail, Elements::One(element), limit));
}

/// See [`crate::types::collection::Collection::undo_bytes`].
pub(super) fn undo_bytes(undo: &ListUndo) -> usize {
    match undo {
        ListUndo::Popped(_, elements) => elements.iter().map(|element| element.len() + 24).sum(),
        ListUndo::Removed(removed) => removed.iter().map(|(_, element)| element.len() + 32).sum(),
        ListUndo::Element(_, element) => element.len(),
        ListUndo::Pushed(..) | ListUndo::Rotated(..) | ListUndo::Inserted(_) => 0,
    }
}
