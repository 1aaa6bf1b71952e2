//! A table with constant-time lookup whose order of iteration is that of its keys.
//!
//! Invariant: nothing depends on hash order; whoever walks the table in order pays for the sort.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::key::Key;

/// Mixes the few words that a name consists of; a [`Key`] hands over the hash that it carries.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // Folded multiplication, as in wyhash (Wang Yi).
        let product = u128::from(self.0 ^ value) * 0xe703_7ed1_a0b4_28db_u128;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }
}

/// `K` -> `T`.
#[derive(Clone, Debug)]
pub(crate) struct Table<T, K = Key>(HashMap<K, T, BuildHasherDefault<NameHasher>>);

/// Room for this many entries is never given back.
const ROOM_MIN: usize = 16;

impl<T, K> Default for Table<T, K> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T, K: Clone + Ord + Hash> Table<T, K> {
    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        self.0.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: T) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<T> {
        let removed = self.0.remove(key);
        self.give_back();
        removed
    }

    /// As [`Self::remove`], for a table that is to be emptied: it keeps its room.
    pub(crate) fn take_one(&mut self, key: &K) -> Option<T> {
        self.0.remove(key)
    }

    /// What a rush has left behind is given back; rarely enough that each entry pays for it once.
    fn give_back(&mut self) {
        if self.0.len() < self.0.capacity() / 8 && self.0.capacity() > ROOM_MIN {
            self.0.shrink_to(2 * self.0.len());
        }
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn entry_or(&mut self, key: &K, value: impl FnOnce() -> T) -> &mut T {
        self.0.entry(key.clone()).or_insert_with(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keys in their order.
    pub(crate) fn keys(&self) -> Vec<K> {
        self.keys_where(|_, _| true)
    }

    /// The keys of some entries, in their order.
    pub(crate) fn keys_where(&self, mut holds: impl FnMut(&K, &T) -> bool) -> Vec<K> {
        let found = self.0.iter().filter(|(key, value)| holds(key, value));
        let mut keys: Vec<K> = found.map(|(key, _)| key.clone()).collect();
        keys.sort_unstable();
        keys
    }

    /// Values in no order: for what comes out the same in any.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// As [`Self::values`].
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }

    /// Keeps the entries for which this holds.
    pub(crate) fn retain(&mut self, mut holds: impl FnMut(&K, &mut T) -> bool) {
        self.0.retain(|key, value| holds(key, value));
        self.give_back();
    }

    /// Empties the table; entries come in the order of their keys.
    pub(crate) fn take(&mut self) -> Vec<(K, T)> {
        let mut entries: Vec<(K, T)> = self.0.drain().collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: PartialEq, K: Eq + Hash> PartialEq for Table<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq, K: Eq + Hash> Eq for Table<T, K> {}

impl<T: Hash, K: Ord + Hash> Hash for Table<T, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut entries: Vec<(&K, &T)> = self.0.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries.hash(state);
    }
}
