//! What sets are changed by: every op, what takes it back, and the editor's functions that do it.

use std::collections::BTreeSet;

use super::{Set, SetLimits};
use crate::effect::{Elements, Event};
use crate::keyspace::{Editor, Misfit};

/// A change to a set. Members that are there already, or not there, may be among those it names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SetOp<'a> {
    /// Members added, at least one.
    Add {
        /// The members.
        members: Elements<'a>,
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
    pub const ADD: u8 = 17;
    pub const REMOVE: u8 = 18;
    /// All of them.
    pub const ALL: [u8; 2] = [ADD, REMOVE];
}

impl SetOp<'_> {
    /// Its number.
    pub fn tag(&self) -> u8 {
        match self {
            SetOp::Add { .. } => tag::ADD,
            SetOp::Remove { .. } => tag::REMOVE,
        }
    }
}

/// What takes a change to a set back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetUndo {
    /// These members are new.
    Added(Vec<Vec<u8>>),
    /// These members were there.
    Removed(Vec<Vec<u8>>),
}

/// Those of some members that a set has, or has not, each once.
fn those(set: &Set, members: Elements<'_>, are_there: bool) -> Vec<Vec<u8>> {
    let mut those = BTreeSet::new();
    members.for_each(|member| {
        if set.contains(member) == are_there {
            those.insert(member);
        }
    });
    those.into_iter().map(<[u8]>::to_vec).collect()
}

impl Editor<'_, Set> {
    /// Adds members and returns how many are new.
    #[inline]
    pub fn add(&mut self, members: Elements<'_>) -> usize {
        let limits = self.limits().set;
        self.alter(
            |set| SetUndo::Added(those(set, members, false)),
            |set| {
                let added = set.add(members, limits);
                (added, added as u64)
            },
            |_| (SetOp::Add { members }, Event::set("sadd")),
        )
    }

    /// Removes members and returns how many there were.
    #[inline]
    pub fn remove(&mut self, members: Elements<'_>) -> usize {
        self.remove_for(members, Event::set("srem"))
    }

    fn remove_for(&mut self, members: Elements<'_>, event: Event) -> usize {
        self.alter(
            |set| SetUndo::Removed(those(set, members, true)),
            |set| {
                let mut removed = 0;
                members.for_each(|member| removed += usize::from(set.remove(member)));
                (removed, removed as u64)
            },
            |_| (SetOp::Remove { members }, event),
        )
    }

    /// Removes `count` random members, or all if they are fewer, and returns them; `random` gives 64 random bits.
    pub fn pop(&mut self, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<Vec<u8>> {
        let popped: Vec<Vec<u8>> = self.sample(count, random).iter().map(|member| member.to_vec()).collect();
        let members: Vec<&[u8]> = popped.iter().map(Vec::as_slice).collect();
        self.remove_for(Elements::Many(&members), Event::set("spop"));
        popped
    }
}

/// See [`crate::types::collection::Collection::apply`].
pub(super) fn apply(set: &mut Editor<'_, Set>, op: &SetOp<'_>) -> Result<(), Misfit> {
    match *op {
        SetOp::Add { members } if members.is_empty() => return Err(Misfit),
        SetOp::Add { members } => _ = set.add(members),
        // That there is none to remove is no misfit: another may have taken it.
        SetOp::Remove { members } => _ = set.remove(members),
    }
    Ok(())
}

/// See [`crate::types::collection::Collection::take_back`].
pub(super) fn take_back(set: &mut Set, undo: &SetUndo, limits: SetLimits) {
    match undo {
        SetUndo::Added(members) => members.iter().for_each(|member| _ = set.remove(member)),
        SetUndo::Removed(members) => {
            members.iter().for_each(|member| _ = set.add(Elements::One(member), limits));
        }
    }
}

/// See [`crate::types::collection::Collection::undo_bytes`].
pub(super) fn undo_bytes(undo: &SetUndo) -> usize {
    let (SetUndo::Added(members) | SetUndo::Removed(members)) = undo;
    members.iter().map(|member| member.len() + 24).sum()
}
