//! What sorted sets are changed by: every op, what takes it back, and the editor's functions that do it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Placed, Scored, SortedSet, canonical};
use crate::effect::{Elements, Event};
use crate::keyspace::{Absent, Editor, Misfit};
use crate::types::limits::PackedLimit;
use crate::types::side::Side;

/// Which members are given a score: those for which it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// NX: the member is new; XX: it is there.
    pub is_new: Option<bool>,
    /// GT or LT: how the score must compare with that of a member that is there.
    pub compares: Option<Ordering>,
}

impl Condition {
    /// What becomes of a sorted set that is not there.
    #[inline]
    pub fn absent(self) -> Absent {
        if self.is_new == Some(false) { Absent::Leave } else { Absent::Create }
    }

    /// True if a member that has a score, or none, is given another.
    #[inline]
    pub fn admits(self, old: Option<f64>, new: f64) -> bool {
        match old {
            None => self.is_new != Some(false),
            Some(old) => {
                self.is_new != Some(true)
                    && self.compares.is_none_or(|wanted| new.partial_cmp(&old) == Some(wanted))
            }
        }
    }
}

/// A change to a sorted set. No score is NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SortedSetOp<'a> {
    /// Members are given scores, one after the other, where the condition holds; at least one is named.
    Add {
        /// The members.
        members: &'a [Scored<'a>],
        /// The condition.
        when: Condition,
    },
    /// Something is added to the score of a member, which has 0 if it is new.
    Increment {
        /// The member.
        member: &'a [u8],
        /// What is added.
        delta: f64,
    },
    /// Members removed, whatever they were chosen by.
    Remove {
        /// The members.
        members: Elements<'a>,
    },
}

/// The numbers of ops in wire forms and logs. Append only: a number is never given to another op.
#[allow(missing_docs, reason = "they are the ops of the same names")]
pub mod tag {
    pub const ADD: u8 = 30;
    pub const INCREMENT: u8 = 31;
    pub const REMOVE: u8 = 32;
    /// All of them.
    pub const ALL: [u8; 3] = [ADD, INCREMENT, REMOVE];
}

impl SortedSetOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            SortedSetOp::Add { .. } => tag::ADD,
            SortedSetOp::Increment { .. } => tag::INCREMENT,
            SortedSetOp::Remove { .. } => tag::REMOVE,
        }
    }
}

/// What takes a change to a sorted set back: what each member that it may have changed had before, the bits of a score or
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SortedSetUndo(BTreeMap<Vec<u8>, Option<u64>>);

impl SortedSetUndo {
    fn of<'m>(set: &SortedSet, members: impl Iterator<Item = &'m [u8]>) -> Self {
        let before = |member: &'m [u8]| (member.to_vec(), set.score(member).map(f64::to_bits));
        SortedSetUndo(members.map(before).collect())
    }
}

/// Adding two infinities of opposite sign gives no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotANumber;

/// How many members were given scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Those that are new.
    pub new: usize,
    /// Those that had another score.
    pub moved: usize,
}

impl Editor<'_, SortedSet> {
    /// Gives members scores where the condition holds.
    #[inline]
    pub fn add(&mut self, members: &[Scored<'_>], when: Condition) -> Added {
        let limits = self.limits().sorted_set;
        self.alter(
            |set| SortedSetUndo::of(set, members.iter().map(|scored| scored.member)),
            |set| {
                set.expect(members, limits);
                let mut added = Added::default();
                for Scored { score, member } in members {
                    match set.put_with(member, limits, |old| when.admits(old, *score).then_some(*score)) {
                        Placed::New => added.new += 1,
                        Placed::Moved => added.moved += 1,
                        Placed::Same => {}
                    }
                }
                (added, (added.new + added.moved) as u64)
            },
            |_| (SortedSetOp::Add { members, when }, Event::sorted_set("zadd")),
        )
    }

    /// Adds something to the score of a member where the condition holds, and returns the sum; `None` where it does not.
    ///
    /// # Errors
    /// If that is no number; nothing is then changed.
    pub fn increment(
        &mut self,
        member: &[u8],
        delta: f64,
        when: Condition,
    ) -> Result<Option<f64>, NotANumber> {
        let limits = self.limits().sorted_set;
        self.alter(
            |set| SortedSetUndo::of(set, [member].into_iter()),
            |set| {
                set.expect(&[Scored { score: delta, member }], limits);
                let mut sum = Ok(None);
                let placed = set.put_with(member, limits, |old| {
                    let score = canonical(old.unwrap_or(0.0) + delta);
                    let is_wanted = when.is_new.is_none_or(|is_new| is_new == old.is_none());
                    sum = match () {
                        () if !is_wanted => Ok(None),
                        () if score.is_nan() => Err(NotANumber),
                        () => Ok(Some(score).filter(|_| when.admits(old, score))),
                    };
                    sum.ok().flatten()
                });
                (sum, u64::from(placed != Placed::Same))
            },
            |_| (SortedSetOp::Increment { member, delta }, Event::sorted_set("zincr")),
        )
    }

    /// Removes members and returns how many there were.
    #[inline]
    pub fn remove(&mut self, members: Elements<'_>) -> usize {
        self.remove_for(members, "zrem")
    }

    fn remove_for(&mut self, members: Elements<'_>, event: &'static str) -> usize {
        self.alter(
            |set| {
                let mut named = Vec::with_capacity(members.len());
                members.for_each(|member| named.push(member));
                named.retain(|member| set.score(member).is_some());
                SortedSetUndo::of(set, named.into_iter())
            },
            |set| {
                let mut removed = 0;
                members.for_each(|member| removed += usize::from(set.remove(member).is_some()));
                (removed, removed as u64)
            },
            |_| (SortedSetOp::Remove { members }, Event::sorted_set(event)),
        )
    }

    /// Removes the members of some ranks and returns how many they are.
    pub fn remove_range(&mut self, ranks: Range<usize>, event: &'static str) -> usize {
        let members: Vec<Vec<u8>> = self.range(ranks).map(|scored| scored.member.to_vec()).collect();
        let members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
        self.remove_for(Elements::Many(&members), event)
    }

    /// Removes up to `count` members, those with the lowest scores or from the other end, and hands them to `take`.
    pub fn pop(&mut self, side: Side, count: usize, mut take: impl FnMut(Scored<'_>)) {
        let count = count.min(self.len());
        let mut popped: Vec<Vec<u8>> = Vec::with_capacity(count);
        let mut pop = |scored: Scored<'_>| {
            take(scored);
            popped.push(scored.member.to_vec());
        };
        match side {
            Side::Head => self.range(0..count).for_each(&mut pop),
            Side::Tail => self.range(self.len() - count..self.len()).rev().for_each(&mut pop),
        }
        let members: Vec<&[u8]> = popped.iter().map(Vec::as_slice).collect();
        let event = if side == Side::Head { "zpopmin" } else { "zpopmax" };
        self.remove_for(Elements::Many(&members), event);
    }
}

/// See [`crate::types::collection::Collection::apply`].
pub(super) fn apply(set: &mut Editor<'_, SortedSet>, op: &SortedSetOp<'_>) -> Result<(), Misfit> {
    match *op {
        SortedSetOp::Add { members, when } => {
            if members.is_empty() || members.iter().any(|scored| scored.score.is_nan()) {
                return Err(Misfit);
            }
            set.add(members, when);
        }
        SortedSetOp::Increment { member, delta } => {
            set.increment(member, delta, Condition::default()).map_err(|NotANumber| Misfit)?;
        }
        // That there is none to remove is no misfit: another may have taken it.
        SortedSetOp::Remove { members } => _ = set.remove(members),
    }
    Ok(())
}

/// See [`crate::types::collection::Collection::take_back`].
pub(super) fn take_back(set: &mut SortedSet, undo: &SortedSetUndo, limits: PackedLimit) {
    for (member, score) in &undo.0 {
        match score {
            Some(bits) => _ = set.put(Scored { score: f64::from_bits(*bits), member }, limits),
            None => _ = set.remove(member),
        }
    }
}

/// See [`crate::types::collection::Collection::undo_bytes`].
pub(super) fn undo_bytes(undo: &SortedSetUndo) -> usize {
    undo.0.keys().map(|member| member.len() + 40).sum()
}
