//! A table of keys with constant-time lookup whose order of iteration is the keys' own.
//!
//! Invariant: nothing depends on hash order; whoever walks the table pays for the sort.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::key::Key;

/// Takes the hash a key already carries.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Key -> `T`.
#[derive(Clone, Debug)]
pub(crate) struct Table<T>(HashMap<Key, T, BuildHasherDefault<KeyHasher>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<T> Table<T> {
    pub(crate) fn get(&self, key: &Key) -> Option<&T> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut T> {
        self.0.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: Key, value: T) {
        self.0.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<T> {
        self.0.remove(key)
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn entry_or(&mut self, key: &Key, value: impl FnOnce() -> T) -> &mut T {
        self.0.entry(key.clone()).or_insert_with(value)
    }

    /// Keys in their order.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let mut keys: Vec<Key> = self.0.keys().cloned().collect();
        keys.sort();
        keys
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl<T: PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq> Eq for Table<T> {}

impl<T: Hash> Hash for Table<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut entries: Vec<(&Key, &T)> = self.0.iter().collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries.hash(state);
    }
}
