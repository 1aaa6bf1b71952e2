//! The keys that a client watches (WATCH).

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

/// Watched keys, each once. Asking for one costs the same however many there are.
#[derive(Debug, Default)]
pub struct WatchedKeys {
    /// By database: whether the key was there when WATCH was called. Only then is it a change that its time is over at
    /// EXEC.
    by_db: BTreeMap<u32, HashMap<Box<[u8]>, bool>>,
    bytes: usize,
}

impl WatchedKeys {
    /// True when the key is watched.
    pub fn contains(&self, db: u32, key: &[u8]) -> bool {
        self.by_db.get(&db).is_some_and(|keys| keys.contains_key(key))
    }

    /// Adds a key; of one that is watched already the first look counts.
    pub fn insert(&mut self, db: u32, key: &[u8], was_live: bool) {
        if let Entry::Vacant(vacant) = self.by_db.entry(db).or_default().entry(key.into()) {
            vacant.insert(was_live);
            self.bytes += size_of::<(Box<[u8]>, bool)>() + key.len();
        }
    }

    /// Every key with its database, and whether it was there when WATCH was called.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[u8], bool)> {
        self.by_db
            .iter()
            .flat_map(|(db, keys)| keys.iter().map(move |(key, was_live)| (*db, &**key, *was_live)))
    }

    /// Bytes that they take here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_db.values().map(HashMap::len).sum()
    }

    /// True when nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.by_db.is_empty()
    }
}
