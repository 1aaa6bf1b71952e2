//! Whole databases: emptied, or exchanged. Both need all locks.

use super::KeyspaceMut;
use crate::effect::{At, Effect, KeyspaceOp};
use crate::observe::Observers;
use crate::shard::Retired;

impl KeyspaceMut<'_, '_> {
    /// Empties one database, or all of them, as was said in the database `from`. Needs all locks.
    pub fn flush(&mut self, db: Option<u32>, from: u32) -> u64 {
        let databases = match db {
            Some(db) => db..db + 1,
            None => 0..self.base.databases(),
        };
        let mut removed = 0;
        self.forget_readers();
        for db in databases {
            for shard in 0..self.base.locked.shards().count() as u16 {
                self.signal_gone(shard, db, db);
                let table = &mut self.base.locked.data_mut(shard).tables[db];
                if table.is_empty() {
                    continue;
                }
                removed += table.len() as u64;
                let mut emptied = table.emptied();
                let hint = table.detach();
                if let Some(hint) = hint {
                    emptied.attach(hint);
                }
                let full = std::mem::replace(table, emptied);
                if let Some(full) = self.base.locked.data_mut(shard).keep_table(full) {
                    self.changes.retire(Retired::Table(Box::new(full)));
                }
            }
        }
        self.changes.dirty += removed.max(1);
        let op = if db.is_some() { KeyspaceOp::FlushDb } else { KeyspaceOp::FlushAll };
        self.tell(&Effect { db: db.unwrap_or(from), at: At::Keyspace(op) }, None);
        removed
    }

    /// Exchanges two databases. Needs all locks.
    pub fn swap_db(&mut self, first: u32, second: u32) {
        if first != second {
            for shard in 0..self.base.locked.shards().count() as u16 {
                let data = self.base.locked.data_mut(shard);
                let hints = [first, second].map(|db| data.tables[db].detach());
                data.tables.swap(first, second);
                for (db, hint) in [first, second].into_iter().zip(hints) {
                    if let Some(hint) = hint {
                        data.tables[db].attach(hint);
                    }
                }
                self.signal_swapped(shard, first, second);
                self.signal_swapped(shard, second, first);
            }
            self.forget_readers();
        }
        self.changes.dirty += 1;
        let op = KeyspaceOp::SwapDb { first, second };
        self.tell(&Effect { db: first, at: At::Keyspace(op) }, None);
    }

    /// Whatever anybody has read is no longer true: who has read what is not told key by key.
    fn forget_readers(&mut self) {
        let (mut names, mut items) = (0, 0);
        for shard in 0..self.base.locked.shards().count() as u16 {
            if !self.base.locked.observers(shard).readers.is_empty() {
                let take = |observers: &mut Observers| std::mem::take(&mut observers.readers);
                let readers = self.base.locked.with_observers(shard, take);
                names += readers.len();
                items += readers.items();
                self.changes.retire(Retired::Readers(readers));
            }
        }
        self.changes.make_all_stale(names, items);
    }

    /// Before a database is emptied (`other` is the same) or after two were exchanged: keys of `db` that live
    /// in either have changed. One whose time was over has gone without anybody's doing.
    fn signal_gone(&mut self, shard: u16, db: u32, other: u32) {
        let observers = &self.base.locked.data(shard).observers;
        for bytes in observers.watched_keys(db) {
            let [here, there] = [db, other].map(|db| self.base.key(db, &bytes));
            if self.base.is_live(&here) || self.base.is_live(&there) {
                observers.raise(db, &bytes);
            } else if self.base.is_expired(&there) {
                observers.raise_expired(db, &bytes);
            }
        }
        for bytes in observers.awaited_keys(db) {
            if [db, other].iter().any(|db| self.base.is_live(&self.base.key(*db, &bytes))) {
                self.changes.make_ready(db, &bytes);
            }
        }
    }

    /// After a swap: keys of `db` that came from, or went to, `other`.
    fn signal_swapped(&mut self, shard: u16, db: u32, other: u32) {
        if !self.base.locked.data(shard).observed {
            return;
        }
        self.signal_gone(shard, db, other);
        for bytes in self.base.locked.data(shard).observers.awaited_keys(db) {
            // One that has expired serves nobody, but whoever looks for it removes it.
            if self.base.stored(&self.base.key(db, &bytes)).is_some() {
                self.changes.make_ready(db, &bytes);
            }
        }
    }
}
