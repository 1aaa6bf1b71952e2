//! The records of a partition: found by their key, and walked in the order of their marks.
//!
//! Invariant: a walk that goes on where it has stopped meets every record that has been there all the time.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use crate::copy::Copy;
use crate::key::{Key, Mark, Slot};
use crate::table::Table;
use crate::values::some_of;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Copies {
    table: Table<Copy>,
    marks: BTreeSet<(Mark, Key)>,
}

impl Copies {
    pub(crate) fn get(&self, key: &Key) -> Option<&Copy> {
        self.table.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut Copy> {
        self.table.get_mut(key)
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.table.contains(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn insert(&mut self, key: Key, copy: Copy) {
        self.marks.insert((key.mark(), key.clone()));
        self.table.insert(key, copy);
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<Copy> {
        let removed = self.table.remove(key)?;
        self.marks.remove(&(key.mark(), key.clone()));
        Some(removed)
    }

    /// Whether it has a twin of this key.
    pub(crate) fn has_twin(&self, key: &Key) -> bool {
        self.walk(key.mark()).take_while(|other| other.mark() == key.mark()).any(|other| other != key)
    }

    /// Keys in the order of their marks, from one on: as many as wanted, and all that stand where the last one does.
    pub(crate) fn some_from(&self, first: Mark, count: usize) -> Vec<Key> {
        some_of(self.walk(first), count)
    }

    /// All keys, in the order of their marks.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.walk(Mark::FIRST)
    }

    /// Those of some slots.
    pub(crate) fn in_slots(&self, slots: Range<u16>) -> impl Iterator<Item = &Key> {
        let first = Mark { slot: Slot(slots.start), hash: 0 };
        self.walk(first).take_while(move |key| key.slot().0 < slots.end)
    }

    fn walk(&self, first: Mark) -> impl Iterator<Item = &Key> {
        self.marks.range((first, Key::new(b""))..).map(|(_, key)| key)
    }
}

impl PartialEq for Copies {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl Eq for Copies {}

impl Hash for Copies {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.table.hash(state);
    }
}
