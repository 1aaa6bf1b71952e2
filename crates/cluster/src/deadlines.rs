//! When what is under way is to be looked at again, so that nobody walks through all of it to find the little that is due.
//!
//! A thing is *opened* when it comes into being, and whenever it may be due earlier than it was. With the next tick it is asked
//! when it is due, or before if many others have been opened since; what has ended by then, as most does, was never in line.
//! It is asked again when that time has come, and not before, because it may have been put off, and has often ended.
//!
//! Invariants: what says that it is due earlier than when it was asked last has been opened since; no step asks more things
//! than have a bound.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use crate::config::Timers;
use crate::ids::{FlightId, OpId, ViewId};
use crate::key::Key;
use crate::part::Part;

/// Things that one tick looks at; the others wait for the next.
const LOOKS_MAX: usize = 1_024;

/// Of what has been opened beyond that, as many are asked with every turn: several times what most turns open.
const ASKED_MAX: usize = 64;

/// Room for this many things is kept.
const ROOM_MAX: usize = 64;

/// What the time at which something is due depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct When {
    pub(crate) now_ms: u64,
    pub(crate) timers: Timers,
    pub(crate) is_serving: bool,
    pub(crate) view: ViewId,
}

/// The lines of a partition: what is in each, how it is called up, and when a thing of it is due.
macro_rules! lines {
    ($($line:ident: $thing:ty, $call:ident, $due_ms:expr;)*) => {
        /// All deadlines of a partition.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
        pub(crate) struct Due {
            $(pub(crate) $line: Deadlines<$thing>,)*
            /// Batches of class X.
            pub(crate) decided: InOrder<FlightId>,
        }

        impl<U> Part<U> {
            $(
                /// What of this is due, in order.
                pub(crate) fn $call(&mut self, when: When) -> Vec<$thing> {
                    let mut line = std::mem::take(&mut self.due.$line);
                    let due_ms: fn(&Self, &$thing, When) -> Option<u64> = $due_ms;
                    let found = line.due(when.now_ms, |thing| due_ms(self, thing, when));
                    self.due.$line = line;
                    found
                }
            )*

            /// Whether much was opened of something.
            #[inline]
            pub(crate) fn has_much_to_ask(&self) -> bool {
                [$(self.due.$line.fresh.len()),*].into_iter().any(|len| len > LOOKS_MAX)
            }

            /// Asks some of what was opened first, where much was.
            pub(crate) fn ask_some(&mut self, when: When) {
                $(
                    if self.due.$line.fresh.len() > LOOKS_MAX {
                        let mut line = std::mem::take(&mut self.due.$line);
                        let due_ms: fn(&Self, &$thing, When) -> Option<u64> = $due_ms;
                        let count = (line.fresh.len() - LOOKS_MAX).min(ASKED_MAX);
                        line.ask(count, |thing| due_ms(self, thing, when));
                        self.due.$line = line;
                    }
                )*
            }
        }
    };
}

lines! {
    operations: OpId, due_operations, |part, op, when| {
        let operation = part.operations.get(op)?;
        Some(operation.due_ms(when.is_serving, when.timers.retry_ms))
    };
    flights: FlightId, due_flights, |part, id, when| Some(part.flights.get(id)?.due_ms(&when.timers));
    records: FlightId, due_records, |part, id, when| {
        part.records.get(id)?.due_ms(id.view == when.view, part.settling.contains_key(id), when)
    };
    settling: FlightId, due_settling, |part, id, when| {
        let settling = part.settling.get(id).filter(|settling| !settling.done)?;
        Some(settling.sent_ms + when.timers.retry_ms)
    };
    unconfirmed: Key, due_unconfirmed, |part, key, when| {
        let (_, sent_ms) = part.unconfirmed.get(key)?;
        Some(sent_ms + when.timers.retry_ms)
    };
    busy: Key, due_busy, |part, key, when| {
        Some(part.owning(key, when.view)?.busy.as_ref()?.sent_ms()? + when.timers.retry_ms)
    };
    touches: Key, due_touches, |part, key, when| Some(part.touches.get(key)?.sent_ms + when.timers.retry_ms);
    questions: Key, due_questions, |part, key, when| part.directory.question_due_ms(key, when.timers.retry_ms);
    evictions: Key, due_evictions, |part, key, when| {
        Some(part.evicting.get(key)?.sent_ms + when.timers.retry_ms)
    };
    waits: u64, due_waits, |part, ticket, when| Some(part.waits.get(ticket)?.due_ms(when.view));
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Deadlines<K> {
    /// Not asked yet.
    fresh: VecDeque<K>,
    /// By when each is to be asked.
    line: BTreeSet<(u64, K)>,
    /// The same by name. Trees, because a step that moves all of a large heap to a larger one is a long one.
    next: BTreeMap<K, u64>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { fresh: VecDeque::new(), line: BTreeSet::new(), next: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> Deadlines<K> {
    /// A thing is to be asked with the next tick.
    pub(crate) fn open(&mut self, thing: K) {
        if self.fresh.back() != Some(&thing) {
            self.fresh.push_back(thing);
        }
    }

    /// What is due, in order; it is opened again. Things say themselves when they are, or that they are over.
    pub(crate) fn due(&mut self, now_ms: u64, due_of: impl Fn(&K) -> Option<u64>) -> Vec<K> {
        self.ask(LOOKS_MAX, &due_of);
        let mut found = BTreeSet::new();
        for _ in 0..LOOKS_MAX {
            if self.line.first().is_none_or(|(due_ms, _)| *due_ms > now_ms) {
                break;
            }
            let Some((_, thing)) = self.line.pop_first() else { break };
            self.next.remove(&thing);
            match due_of(&thing) {
                Some(later_ms) if later_ms > now_ms => self.put(thing, later_ms),
                Some(_) => drop(found.insert(thing)),
                None => {}
            }
        }
        self.fresh.extend(found.iter().cloned());
        found.into_iter().collect()
    }

    /// Asks those that were opened first.
    fn ask(&mut self, count: usize, due_of: impl Fn(&K) -> Option<u64>) {
        for _ in 0..count {
            let Some(thing) = self.fresh.pop_front() else { break };
            if let Some(due_ms) = due_of(&thing) {
                self.put(thing, due_ms);
            }
        }
        if self.fresh.is_empty() && self.fresh.capacity() > ROOM_MAX {
            self.fresh = VecDeque::new();
        }
    }

    fn put(&mut self, thing: K, due_ms: u64) {
        let known_ms = self.next.get(&thing).copied();
        if known_ms.is_none_or(|known_ms| due_ms < known_ms) {
            if let Some(known_ms) = known_ms {
                self.line.remove(&(known_ms, thing.clone()));
            }
            self.next.insert(thing.clone(), due_ms);
            self.line.insert((due_ms, thing));
        }
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

    /// All of them.
    pub(crate) fn take(&mut self) -> VecDeque<K> {
        std::mem::take(&mut self.0)
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
        (0..10_000_u64).for_each(|thing| deadlines.open(thing));
        let asked = Cell::new(0);
        let due_of = |thing: &u64| {
            asked.set(asked.get() + 1);
            thing.is_multiple_of(2).then_some(100 + thing / 100)
        };
        let mut ticks = 0;
        while !deadlines.fresh.is_empty() {
            assert_eq!(deadlines.due(0, due_of), []);
            assert!(asked.take() <= LOOKS_MAX);
            ticks += 1;
        }
        assert_eq!(ticks, 10);
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
        assert_eq!((rest, deadlines.line.len(), deadlines.next.len()), (0, 0, 0));
    }

    #[test]
    fn one_tick_looks_at_so_many() {
        let mut deadlines = Deadlines::default();
        (0..3_000_u64).for_each(|thing| deadlines.open(thing));
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
