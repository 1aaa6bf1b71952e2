//! When what is under way is to be looked at again, so that nobody walks through all of it to find the little that is due.
//!
//! A thing is *opened* when it comes into being, and whenever it may be due earlier than it was. With the next tick it is asked
//! when it is due; what has ended by then, as most does, was never in line. It is asked again when that time has come, and not
//! before, because it may have been put off, and has often ended.
//!
//! Invariant: what says that it is due earlier than when it was asked last has been opened since.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{Hash, Hasher};

use crate::ids::{FlightId, OpId};
use crate::key::Key;

/// Things that one tick looks at; the others wait for the next.
const LOOKS_MAX: usize = 1_024;

/// Room for this many things is kept.
const ROOM_MAX: usize = 64;

/// All deadlines of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Due {
    pub(crate) operations: Deadlines<OpId>,
    pub(crate) flights: Deadlines<FlightId>,
    pub(crate) records: Deadlines<FlightId>,
    pub(crate) settling: Deadlines<FlightId>,
    pub(crate) unconfirmed: Deadlines<Key>,
    pub(crate) busy: Deadlines<Key>,
    pub(crate) touches: Deadlines<Key>,
    pub(crate) questions: Deadlines<Key>,
    pub(crate) evictions: Deadlines<Key>,
    pub(crate) waits: Deadlines<u64>,
    /// Batches of class X.
    pub(crate) decided: InOrder<FlightId>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines<K> {
    /// Not asked yet.
    fresh: Vec<K>,
    heap: BinaryHeap<Reverse<(u64, K)>>,
    /// When each is to be asked; what the heap says besides is void.
    next: BTreeMap<K, u64>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { fresh: Vec::new(), heap: BinaryHeap::new(), next: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// A thing is to be asked with the next tick.
    pub(crate) fn open(&mut self, thing: K) {
        if self.fresh.last() != Some(&thing) {
            self.fresh.push(thing);
        }
    }

    /// What is due, in order; it is opened again. Things say themselves when they are, or that they are over.
    pub(crate) fn due(&mut self, now_ms: u64, due_of: impl Fn(&K) -> Option<u64>) -> Vec<K> {
        let mut fresh = std::mem::take(&mut self.fresh);
        for thing in fresh.drain(..) {
            if let Some(due_ms) = due_of(&thing) {
                self.put(thing, due_ms);
            }
        }
        let mut found = BTreeSet::new();
        for _ in 0..LOOKS_MAX {
            if self.heap.peek().is_none_or(|Reverse((due_ms, _))| *due_ms > now_ms) {
                break;
            }
            let Some(Reverse((due_ms, thing))) = self.heap.pop() else { break };
            if self.next.get(&thing) != Some(&due_ms) {
                continue;
            }
            self.next.remove(&thing);
            match due_of(&thing) {
                Some(later_ms) if later_ms > now_ms => self.put(thing, later_ms),
                Some(_) => drop(found.insert(thing)),
                None => {}
            }
        }
        if self.heap.is_empty() && self.heap.capacity() > ROOM_MAX {
            // A rush is to leave nothing.
            self.heap = BinaryHeap::new();
        }
        if fresh.capacity() <= ROOM_MAX {
            self.fresh = fresh;
        }
        self.fresh.extend(found.iter().cloned());
        found.into_iter().collect()
    }

    fn put(&mut self, thing: K, due_ms: u64) {
        if self.next.get(&thing).is_none_or(|known_ms| due_ms < *known_ms) {
            self.next.insert(thing.clone(), due_ms);
            self.heap.push(Reverse((due_ms, thing)));
        }
    }
}

impl<K: Ord> Extend<K> for Deadlines<K> {
    fn extend<I: IntoIterator<Item = K>>(&mut self, things: I) {
        self.fresh.extend(things);
    }
}

/// Things in the order in which they came into being, for whoever wants the first that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct InOrder<K>(VecDeque<K>);

impl<K> Default for InOrder<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K> InOrder<K> {
    pub(crate) fn open(&mut self, thing: K) {
        self.0.push_back(thing);
    }

    pub(crate) fn first(&mut self, is_open: impl Fn(&K) -> bool) -> Option<&K> {
        while self.0.front().is_some_and(|thing| !is_open(thing)) {
            self.0.pop_front();
        }
        if self.0.is_empty() && self.0.capacity() > ROOM_MAX {
            self.0 = VecDeque::new();
        }
        self.0.front()
    }
}

/// These follow from what is under way: two states that differ in them do the same.
macro_rules! all_alike {
    ($($name:ident)*) => {$(
        impl<K> PartialEq for $name<K> {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }

        impl<K> Eq for $name<K> {}

        impl<K> Hash for $name<K> {
            fn hash<H: Hasher>(&self, _: &mut H) {}
        }
    )*};
}

all_alike!(Deadlines InOrder);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_is_open_is_asked_when_it_is_due_and_not_before() {
        let mut deadlines = Deadlines::default();
        deadlines.extend(0..10_000_u64);
        let asked = Cell::new(0);
        let due_of = |thing: &u64| {
            asked.set(asked.get() + 1);
            thing.is_multiple_of(2).then_some(100 + thing / 100)
        };
        assert_eq!(deadlines.due(0, due_of), []);
        assert_eq!(asked.take(), 10_000);
        for now_ms in 1..100 {
            assert_eq!((deadlines.due(now_ms, due_of), asked.take()), (vec![], 0), "at {now_ms}");
        }
        assert_eq!(deadlines.due(100, due_of), (0..50).map(|half| 2 * half).collect::<Vec<_>>());
        assert_eq!(asked.take(), 50);
        // They are opened again, and one of those to come is put off, which it tells when its time has come.
        let later = |thing: &u64| if *thing == 100 { Some(500) } else { due_of(thing) };
        assert_eq!(deadlines.due(101, later).len(), 50 + 49);
        assert_eq!(deadlines.due(101, |thing| (*thing == 9_998).then_some(0)), [], "nobody has said so");
        deadlines.open(9_998);
        assert_eq!(deadlines.due(101, |thing| (*thing == 9_998).then_some(0)), [9_998]);
        let rest: usize = (102..600).map(|now_ms| deadlines.due(now_ms, |_| None).len()).sum();
        assert_eq!((rest, deadlines.heap.len(), deadlines.next.len()), (0, 0, 0));
    }

    #[test]
    fn one_tick_looks_at_so_many() {
        let mut deadlines = Deadlines::default();
        deadlines.extend(0..3_000_u64);
        let ended: Cell<u64> = Cell::new(0);
        let mut ticks = Vec::new();
        while ended.get() < 3_000 {
            let due = deadlines.due(1, |thing| (*thing >= ended.get()).then_some(0));
            ended.set(due.last().map_or(3_000, |last| last + 1));
            ticks.push(due.len());
        }
        assert_eq!(ticks, [1_024, 1_024, 952]);
    }
}
