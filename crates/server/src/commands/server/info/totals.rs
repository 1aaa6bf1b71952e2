//! What all shards say together.

use swytch_store::{Figures, Keyspace};

use crate::dispatch::park;

/// Sums over the shards.
#[derive(Debug)]
pub struct Totals {
    /// By database.
    pub(super) databases: Vec<Figures>,
    /// Bytes of the hash tables, entries excluded.
    pub(super) table_bytes: u64,
    /// Keys that are watched.
    pub(super) watched: usize,
    /// Keys that clients wait for.
    pub(super) awaited: usize,
    /// Those of them whose absence is waited for.
    pub(super) awaited_absent: usize,
}

impl Totals {
    /// Of no shard yet, for this many databases.
    pub fn new(databases: usize) -> Totals {
        let databases = vec![Figures::default(); databases];
        Totals { databases, table_bytes: 0, watched: 0, awaited: 0, awaited_absent: 0 }
    }

    /// Adds a shard, which is locked.
    pub fn add(&mut self, keyspace: &Keyspace<'_>, shard: u16) {
        for (db, figures) in self.databases.iter_mut().enumerate() {
            keyspace.add_to(figures, shard, db as u32);
            self.table_bytes += keyspace.shard_table_bytes(shard, db as u32) as u64;
        }
        let observers = keyspace.locked().observers(shard);
        let (awaited, watched) = observers.key_counts();
        self.awaited += awaited;
        self.watched += watched;
        self.awaited_absent += observers.count_awaited(park::awaits_absence);
    }

    /// Databases without keys.
    pub fn empty_databases(&self) -> impl Iterator<Item = usize> {
        self.databases.iter().enumerate().filter(|(_, figures)| figures.keys == 0).map(|(db, _)| db)
    }
}
