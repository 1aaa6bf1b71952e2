//! A cut: the whole keyspace as it was at one moment, read while it goes on changing.
//!
//! It begins under the locks of all shards, held for as long as it takes to say so to each of them, and is then read piece by
//! piece, each under the lock of one shard. What has not been read yet is handed over before it changes:
//!
//! - a table is read in the order of hash prefixes. A key of a prefix that was read is of no concern any more;
//! - before another key changes, its entry is copied and kept for the reader: a short value by its bytes, a big one by reference
//!   to its parts, which writers copy as they do for COPY. The entry that stays, and one that comes, is marked as new, so that
//!   the reader passes it by and takes the mark off. A key costs a copy once;
//! - a table knows its place, so databases may be exchanged; one that is flushed goes to the reader as it is.
//!
//! While there is no cut it costs a look at a pointer where listeners are looked for in any case, and no byte of an entry. There is one
//! cut at a time.

use std::collections::VecDeque;

use crate::Key;
use crate::entry::{Entry, EntryRef};
use crate::shard::{LockScope, Locked, Retired, ShardData, Shards};
use crate::table::Table;

/// Entries that are read under a lock at a time, about.
const ENTRIES_PER_STEP: usize = 128;

/// What a shard has to do with a cut that is read.
#[derive(Debug, Default)]
pub(crate) struct ShardCut {
    /// What has changed before it was read, with its database.
    kept: Vec<(u32, Entry)>,
    /// Tables that were flushed.
    flushed: Vec<Table>,
}

/// An entry as it was at the moment of a cut.
#[derive(Debug)]
pub struct CutEntry {
    /// Its database then.
    pub db: u32,
    entry: Entry,
}

impl CutEntry {
    /// The entry.
    pub fn entry(&self) -> EntryRef<'_> {
        self.entry.as_ref()
    }
}

/// The keyspace at one moment. It is to be read to its end, or [passed over](Cut::pass_over).
#[derive(Debug)]
#[must_use]
pub struct Cut {
    /// Keys of each database, and those of them that expire.
    sizes: Box<[(usize, usize)]>,
    /// Shards that have something to be read.
    shards: VecDeque<u16>,
    /// Tables that nobody else has any more.
    flushed: Vec<Table>,
    retired: Vec<Retired>,
}

impl Cut {
    /// The keyspace now. None where another cut has not been read yet.
    pub fn begin(locked: &mut Locked<'_>) -> Option<Cut> {
        assert!(locked.covers_all(), "one moment of all shards");
        let shards = locked.shards();
        let (count, databases) = (shards.count() as u16, shards.databases() as u32);
        if (0..count).any(|shard| locked.data(shard).cut.is_some()) {
            return None;
        }
        let mut sizes = vec![(0, 0); databases as usize].into_boxed_slice();
        for shard in 0..count {
            let data = locked.data_mut(shard);
            for db in 0..databases {
                let table = &mut data.tables[db];
                let (keys, expiring) = &mut sizes[db as usize];
                *keys += table.len();
                *expiring += table.expiring();
                table.begin_reading(db);
            }
            data.cut = Some(Box::default());
            data.look_for_observers();
        }
        Some(Cut { sizes, shards: (0..count).collect(), flushed: Vec::new(), retired: Vec::new() })
    }

    /// Keys that a database had, and those of them that expire.
    pub fn sizes(&self, db: u32) -> (usize, usize) {
        self.sizes[db as usize]
    }

    /// The next entries, in no order; it may be that there are none in this piece. None at the end.
    pub fn read(&mut self, shards: &Shards) -> Option<Vec<CutEntry>> {
        let mut entries = Vec::new();
        let more = self.step(shards, &mut |db, entry| {
            entries.push(CutEntry { db, entry: Entry::duplicated(entry, entry.key(), entry.clock()) });
        });
        let kept = more?;
        entries.extend(kept.into_iter().map(|(db, entry)| CutEntry { db, entry }));
        Some(entries)
    }

    /// Goes over the rest, which nobody wants, so that there can be another cut.
    pub fn pass_over(&mut self, shards: &Shards) {
        while self.step(shards, &mut |_, _| ()).is_some() {}
    }

    /// Memory of the cut that readers without a lock may still look at.
    pub fn take_retired(&mut self) -> Vec<Retired> {
        std::mem::take(&mut self.retired)
    }

    /// One piece; what was kept in its shard. None at the end.
    fn step(
        &mut self,
        shards: &Shards,
        visit: &mut dyn FnMut(u32, EntryRef<'_>),
    ) -> Option<Vec<(u32, Entry)>> {
        if let Some(table) = self.flushed.last_mut() {
            if !table.read_on(ENTRIES_PER_STEP, visit) {
                self.retired.extend(self.flushed.pop().map(|table| Retired::Table(Box::new(table))));
            }
            return Some(Vec::new());
        }
        // Each shard in turn, so that nothing that is kept stays for long.
        let shard = self.shards.pop_front()?;
        let mut locked = shards.lock(LockScope::One(shard));
        let data = locked.data_mut(shard);
        let cut = data.cut.as_deref_mut()?;
        self.flushed.append(&mut cut.flushed);
        let kept = std::mem::take(&mut cut.kept);
        let next = data.tables.iter_mut().find(|table| table.is_read());
        match next {
            Some(table) => {
                table.read_on(ENTRIES_PER_STEP, visit);
                self.shards.push_back(shard);
            }
            None => {
                data.cut = None;
                data.look_for_observers();
            }
        }
        Some(kept)
    }
}

impl ShardData {
    /// Before a key changes: the reader of a cut is given what is there.
    #[cold]
    pub(crate) fn keep(&mut self, key: &Key<'_>) {
        let Some(cut) = &mut self.cut else { return };
        if let Some((db, entry)) = self.tables[key.db].unread(key) {
            cut.kept.push((db, Entry::duplicated(entry, key.bytes, entry.clock())));
            self.tables[key.db].mark_as_new(key);
        }
    }

    /// After a key has changed: what is there now is not of the cut.
    #[cold]
    pub(crate) fn mark(&mut self, key: &Key<'_>) {
        if self.cut.is_some() {
            self.tables[key.db].mark_as_new(key);
        }
    }

    /// A table that was flushed; given back where no cut needs it.
    pub(crate) fn keep_table(&mut self, table: Table) -> Option<Table> {
        match &mut self.cut {
            Some(cut) if table.is_read() => {
                cut.flushed.push(table);
                None
            }
            _ => Some(table),
        }
    }

    /// Somebody has come or gone who looks at changes.
    pub(crate) fn look_for_observers(&mut self) {
        self.observed = self.cut.is_some() || !self.observers.is_empty();
    }
}

#[cfg(test)]
mod tests;
