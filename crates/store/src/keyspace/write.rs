//! The write view: the primitives that every type shares, and how a change becomes known.

use std::ops::{Deref, DerefMut};

use super::{Keyspace, access_clock};
use crate::effect::{Effect, EffectSink, Event, EventClass};
use crate::entry::{Entry, EntryRef, NewValue};
use crate::shard::{Retired, ShardData};
use crate::table::{Found, Table};
use crate::{Key, Undo, UnixMs};

/// What a write does to the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The key will not expire.
    Clear,
    /// As it was.
    Keep,
    /// Expires at this time.
    At(UnixMs),
}

/// When SET applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCondition {
    /// Always.
    #[default]
    Always,
    /// Only if the key does not exist.
    IfAbsent,
    /// Only if the key exists.
    IfPresent,
}

/// What a command left behind for the server once its locks are released.
#[derive(Debug, Default)]
pub struct Changes {
    /// Number of changes, as `rdb_changes_since_last_save` counts them.
    pub dirty: u64,
    /// Keys removed because they had expired.
    pub expired: u64,
    /// What most changes do not leave. Behind a pointer, because a view is made for every command.
    rare: Option<Box<RareChanges>>,
}

#[derive(Debug, Default)]
struct RareChanges {
    ready: Vec<(u32, Box<[u8]>)>,
    retired: Vec<Retired>,
}

impl Drop for RareChanges {
    /// What nobody took (a handler panicked) is never freed: other threads may still be looking at it.
    fn drop(&mut self) {
        std::mem::forget(std::mem::take(&mut self.retired));
    }
}

impl Changes {
    #[cold]
    fn rare(&mut self) -> &mut RareChanges {
        self.rare.get_or_insert_default()
    }

    /// True when a parked client may be served.
    #[inline]
    pub fn has_ready(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.ready.is_empty())
    }

    /// Keys, with their databases, that parked clients may now be served from, in the order of the changes; each is
    /// given once.
    pub fn take_ready(&mut self) -> Vec<(u32, Box<[u8]>)> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.ready)).unwrap_or_default()
    }

    /// Memory to free where it delays nobody; given once.
    pub fn take_retired(&mut self) -> Vec<Retired> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.retired)).unwrap_or_default()
    }
}

/// A view that reads and changes.
pub struct KeyspaceMut<'s, 'e> {
    base: Keyspace<'s>,
    sink: Option<&'e mut dyn EffectSink>,
    /// False lets a change skip everything that only observers need.
    observed: bool,
    changes: Changes,
}

impl std::fmt::Debug for KeyspaceMut<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyspaceMut").field("base", &self.base).field("changes", &self.changes).finish()
    }
}

impl<'s> Deref for KeyspaceMut<'s, '_> {
    type Target = Keyspace<'s>;

    fn deref(&self) -> &Keyspace<'s> {
        &self.base
    }
}

impl DerefMut for KeyspaceMut<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.base
    }
}

impl<'s, 'e> KeyspaceMut<'s, 'e> {
    /// A write view; `sink`, if any, hears of every effect.
    #[inline(always)]
    pub fn new(base: Keyspace<'s>, sink: Option<&'e mut dyn EffectSink>) -> Self {
        let observed = sink.is_some() || base.locked.is_observed();
        KeyspaceMut { base, sink, observed, changes: Changes::default() }
    }

    /// Removes what readers met expired and gives out what happened; the locks stay held until the
    /// returned view is dropped.
    #[inline]
    pub fn finish(mut self) -> (Keyspace<'s>, Changes) {
        if self.base.met_expired() {
            self.remove_met_expired();
        }
        (self.base, self.changes)
    }

    /// The number of changes, if nothing else is left to be done: then the view may simply be dropped.
    #[inline]
    pub fn settled(&self) -> Option<u64> {
        let changes = &self.changes;
        let settled = changes.rare.is_none() && changes.expired == 0 && !self.base.met_expired();
        settled.then_some(changes.dirty)
    }

    /// [`Keyspace::close`] for a [settled](KeyspaceMut::settled) view.
    #[inline(always)]
    pub fn close(&mut self) -> bool {
        debug_assert!(self.settled().is_some(), "nothing may be left to be done");
        self.base.close()
    }

    /// True when somebody observes what is changed.
    #[inline]
    pub fn is_observed(&self) -> bool {
        self.observed
    }

    /// What happened so far.
    pub fn changes_mut(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// Observers may have come or gone through [`crate::Locked::with_observers`].
    pub fn refresh_observed(&mut self) {
        self.observed = self.sink.is_some() || self.base.locked.is_observed();
    }

    #[cold]
    fn remove_met_expired(&mut self) {
        let db = self.base.db;
        self.base.has_expired.set(false);
        for (expired_db, bytes) in self.base.expired.take().into_iter().flat_map(|expired| *expired) {
            self.base.db = expired_db;
            let key = self.base.key(&bytes);
            self.remove_if_expired(&key);
        }
        self.base.db = db;
    }

    #[inline]
    pub(super) fn shard_data(&mut self, key: &Key<'_>) -> &mut ShardData {
        let shard = self.base.locked.shards().shard_of(key);
        self.base.locked.data_mut(shard)
    }

    #[inline]
    pub(super) fn table_mut(&mut self, key: &Key<'_>) -> &mut Table {
        let db = self.base.db;
        &mut self.shard_data(key).tables[db]
    }

    pub(super) fn clock(&self) -> u32 {
        access_clock(self.base.now_ms)
    }

    /// Shows listeners what is about to change: called before every change, once it is certain to come.
    #[inline(always)]
    pub(super) fn foresee<'a>(&mut self, key: &Key<'_>, describe: impl FnOnce() -> Effect<'a>) {
        if self.observed {
            self.foresee_observed(key, &describe());
        }
    }

    #[cold]
    fn foresee_observed(&mut self, key: &Key<'_>, effect: &Effect<'_>) {
        let Some(sink) = self.sink.as_mut().filter(|sink| sink.wants_undo()) else { return };
        let undo = Undo::of(effect, self.base.stored(key));
        sink.undo(self.base.db, key.bytes, undo);
    }

    /// Tells observers and listeners about one change. Called after it, under the locks. What the change was is put into
    /// words only if somebody listens.
    #[inline(always)]
    pub(super) fn emit<'a>(&mut self, key: &Key<'_>, describe: impl FnOnce() -> (Effect<'a>, Event)) {
        self.changes.dirty += 1;
        if self.observed {
            let (effect, event) = describe();
            self.emit_observed(key, &effect, event);
        }
    }

    #[cold]
    fn emit_observed(&mut self, key: &Key<'_>, effect: &Effect<'_>, event: Event) {
        let db = self.base.db;
        if let Some(sink) = &mut self.sink {
            sink.record(db, effect);
            sink.notify(db, event, key.bytes);
        }
        self.signal(db, key);
    }

    /// As [`KeyspaceMut::emit`] for a change that several effects describe, each with what it overwrote: listeners hear
    /// one event, and `dirty` is what it counts as.
    pub(super) fn emit_several<'a>(
        &mut self,
        key: &Key<'_>,
        dirty: u64,
        effects: impl Iterator<Item = (Effect<'a>, impl FnOnce() -> Undo)>,
        event: Event,
    ) {
        self.changes.dirty += dirty;
        if !self.observed {
            return;
        }
        let db = self.base.db;
        if let Some(sink) = &mut self.sink {
            for (effect, undo) in effects {
                if sink.wants_undo() {
                    sink.undo(db, key.bytes, undo());
                }
                sink.record(db, &effect);
            }
            sink.notify(db, event, key.bytes);
        }
        self.signal(db, key);
    }

    /// Raises the flags of a key's watchers and remembers it for parked clients.
    pub(super) fn signal(&mut self, db: u32, key: &Key<'_>) {
        if !self.observed {
            return;
        }
        let observers = &self.shard_data(key).observers;
        observers.raise(db, key.bytes);
        // A key that is gone again by the time the waiters are looked at serves none of them.
        if observers.is_awaited(db, key.bytes) {
            self.changes.rare().ready.push((db, key.bytes.into()));
        }
    }

    /// A notification without an effect of its own.
    pub fn notify(&mut self, event: Event, key: &[u8]) {
        let db = self.base.db;
        if let Some(sink) = &mut self.sink {
            sink.notify(db, event, key);
        }
    }

    /// The place of a live key; an expired one is removed first.
    #[inline(always)]
    pub(super) fn live_place(&mut self, key: &Key<'_>) -> Option<Found> {
        let now_ms = self.base.now_ms;
        let ignore_expiry = self.base.ignore_expiry;
        let table = self.table_mut(key);
        let found = table.find_place(key)?;
        if let Some(at_ms) = table.entry_at(found).expire_at_ms()
            && at_ms <= now_ms
            && !ignore_expiry
        {
            self.remove_if_expired(key);
            return None;
        }
        Some(found)
    }

    /// Removes a key if it has expired; true when it was.
    #[cold]
    pub fn remove_if_expired(&mut self, key: &Key<'_>) -> bool {
        let now_ms = self.base.now_ms;
        let table = self.table_mut(key);
        let Some(found) = table.find_place(key) else { return false };
        if table.entry_at(found).expire_at_ms().is_none_or(|at_ms| at_ms > now_ms) {
            return false;
        }
        self.foresee(key, || Effect::Delete { key: key.bytes });
        self.remove_at(key, found);
        // As in Redis it is no change that a save would be due for.
        self.changes.expired += 1;
        if self.observed {
            let db = self.base.db;
            if let Some(sink) = &mut self.sink {
                sink.record(db, &Effect::Delete { key: key.bytes });
                sink.notify(db, Event { class: EventClass::Expired, name: "expired" }, key.bytes);
            }
            self.shard_data(key).observers.raise_expired(db, key.bytes);
        }
        true
    }

    /// Takes an entry out; big values are freed elsewhere.
    pub(super) fn remove_at(&mut self, key: &Key<'_>, found: Found) {
        let entry = self.table_mut(key).remove(key.hash, found);
        self.retire(key, entry);
    }

    fn retire(&mut self, key: &Key<'_>, entry: Entry) {
        if entry.as_ref().is_costly_to_free() {
            self.changes.rare().retired.push(Retired::Entry(entry));
        }
        let segments = self.table_mut(key).take_retired();
        if !segments.is_empty() {
            self.changes.rare().retired.push(Retired::Segments(segments));
        }
    }

    /// Puts an entry at a key in place of whatever is there.
    pub(super) fn put(&mut self, key: &Key<'_>, entry: Entry) {
        let table = self.table_mut(key);
        match table.find_place(key) {
            Some(found) => {
                let old = table.update(found, |old| (entry, old));
                self.retire(key, old);
            }
            None => table.insert(key.hash, entry),
        }
    }

    /// Puts a new value at a key that does not exist.
    pub(super) fn insert_new(&mut self, key: &Key<'_>, value: NewValue<'_>, expire_at_ms: Option<UnixMs>) {
        let entry = Entry::new(key.bytes, value, expire_at_ms, self.clock());
        self.table_mut(key).insert(key.hash, entry);
        self.notify(Event { class: EventClass::New, name: "new" }, key.bytes);
    }

    /// Removes a key; false when it did not exist.
    pub fn delete(&mut self, key: &Key<'_>) -> bool {
        let Some(found) = self.live_place(key) else { return false };
        self.foresee(key, || Effect::Delete { key: key.bytes });
        self.remove_at(key, found);
        self.emit(key, || (Effect::Delete { key: key.bytes }, Event::generic("del")));
        true
    }

    /// Sets when an existing key expires; false when it does not exist. A time already past is stored as it
    /// is: the caller decides whether that means deletion.
    pub fn expire_at(&mut self, key: &Key<'_>, at_ms: UnixMs) -> bool {
        let Some(found) = self.live_place(key) else { return false };
        self.foresee(key, || Effect::ExpireAt { key: key.bytes, at_ms });
        let table = self.table_mut(key);
        if table.entry_at(found).expire_at_ms().is_some() {
            table.with_entry(found, |entry| entry.as_ref().set_expire_in_place(at_ms));
        } else {
            table.update(found, |entry| (entry.rebuilt(None, Some(at_ms)), ()));
        }
        self.emit(key, || (Effect::ExpireAt { key: key.bytes, at_ms }, Event::generic("expire")));
        true
    }

    /// Takes away a key's expiry; false when it had none.
    pub fn persist(&mut self, key: &Key<'_>) -> bool {
        let Some(found) = self.live_place(key) else { return false };
        let table = self.table_mut(key);
        if table.entry_at(found).expire_at_ms().is_none() {
            return false;
        }
        self.foresee(key, || Effect::Persist { key: key.bytes });
        self.table_mut(key).update(found, |entry| (entry.rebuilt(None, None), ()));
        self.emit(key, || (Effect::Persist { key: key.bytes }, Event::generic("persist")));
        true
    }

    /// Moves the value of `from`, with its expiry, to `to`; false when `from` does not exist.
    pub fn rename(&mut self, from: &Key<'_>, to: &Key<'_>) -> bool {
        let Some(found) = self.live_place(from) else { return false };
        for key in [from, to] {
            self.foresee(key, || Effect::Delete { key: key.bytes });
        }
        let entry = self.table_mut(from).remove(from.hash, found);
        let expire_at_ms = entry.as_ref().expire_at_ms();
        self.put(to, entry.rebuilt(Some(to.bytes), expire_at_ms));
        let db = self.base.db;
        self.emit(from, || {
            (Effect::Rename { from: from.bytes, to: to.bytes }, Event::generic("rename_from"))
        });
        self.notify(Event::generic("rename_to"), to.bytes);
        self.signal(db, to);
        true
    }

    /// Moves a key with its expiry to another database; false when it is not here or already there.
    pub fn move_to(&mut self, key: &Key<'_>, to_db: u32) -> bool {
        let from_db = self.base.db;
        let Some(_) = self.live_place(key) else { return false };
        self.base.db = to_db;
        let taken = self.live_place(key).is_some();
        self.base.db = from_db;
        if taken {
            return false;
        }
        let Some(found) = self.live_place(key) else { return false };
        self.foresee(key, || Effect::Delete { key: key.bytes });
        let entry = self.table_mut(key).remove(key.hash, found);
        self.base.db = to_db;
        self.foresee(key, || Effect::Delete { key: key.bytes });
        self.put(key, entry);
        self.base.db = from_db;
        self.emit(key, || (Effect::Move { key: key.bytes, to_db }, Event::generic("move_from")));
        self.base.db = to_db;
        self.notify(Event::generic("move_to"), key.bytes);
        self.signal(to_db, key);
        self.base.db = from_db;
        true
    }

    /// Copies the value of `from`, with its expiry, to `to` in database `to_db`, in place of whatever
    /// is there; false when `from` does not exist.
    pub fn copy(&mut self, from: &Key<'_>, to: &Key<'_>, to_db: u32) -> bool {
        let from_db = self.base.db;
        let Some(found) = self.live_place(from) else { return false };
        self.foresee(from, || Effect::Delete { key: from.bytes });
        let clock = self.clock();
        let copy = Entry::duplicated(self.table_mut(from).entry_at(found), to.bytes, clock);
        self.base.db = to_db;
        self.foresee(to, || Effect::Delete { key: to.bytes });
        self.put(to, copy);
        self.base.db = from_db;
        self.emit_copy(from, to, to_db);
        true
    }

    fn emit_copy(&mut self, from: &Key<'_>, to: &Key<'_>, to_db: u32) {
        self.changes.dirty += 1;
        let db = self.base.db;
        if let Some(sink) = &mut self.sink {
            sink.record(db, &Effect::Copy { from: from.bytes, to: to.bytes, to_db });
            sink.notify(to_db, Event::generic("copy_to"), to.bytes);
        }
        self.signal(to_db, to);
    }

    /// Empties one database, or all of them. Needs all locks.
    pub fn flush(&mut self, db: Option<u32>) -> u64 {
        let databases = match db {
            Some(db) => db..db + 1,
            None => 0..self.base.databases(),
        };
        let mut removed = 0;
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
                self.changes.rare().retired.push(Retired::Table(Box::new(full)));
            }
        }
        self.changes.dirty += removed.max(1);
        let here = self.base.db;
        if let Some(sink) = &mut self.sink {
            match db {
                Some(db) => sink.record(db, &Effect::FlushDb),
                None => sink.record(here, &Effect::FlushAll),
            }
        }
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
        }
        self.changes.dirty += 1;
        let db = self.base.db;
        if let Some(sink) = &mut self.sink {
            sink.record(db, &Effect::SwapDb { first, second });
        }
    }

    /// Before a database is emptied (`other` is the same) or after two were exchanged: keys of `db` that live
    /// in either have changed. One whose time was over has gone without anybody's doing.
    fn signal_gone(&mut self, shard: u16, db: u32, other: u32) {
        let observers = &self.base.locked.data(shard).observers;
        for bytes in observers.watched_keys(db) {
            let key = self.base.locked.shards().key(&bytes);
            if self.base.is_live_in(db, &key) || self.base.is_live_in(other, &key) {
                observers.raise(db, &bytes);
            } else if self.base.is_expired_in(other, &key) {
                observers.raise_expired(db, &bytes);
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
            let key = self.base.locked.shards().key(&bytes);
            // One that has expired serves nobody, but whoever looks for it removes it.
            if self.base.locked.data(shard).tables[db].find(&key).is_some() {
                self.changes.rare().ready.push((db, bytes));
            }
        }
    }

    /// One bounded step of active expiry in a locked shard; true when more may be due there.
    pub fn expire_due(&mut self, shard: u16, limit: usize) -> bool {
        let now_ms = self.base.now_ms;
        let here = self.base.db;
        let mut more = false;
        for db in 0..self.base.databases() {
            let data = self.base.locked.data_mut(shard);
            let table = &mut data.tables[db];
            if table.next_expiry_ms() > now_ms {
                continue;
            }
            let mut keys = Vec::new();
            let next = table.expired_keys(now_ms, data.expiry_prefix[db as usize], limit, &mut keys);
            data.expiry_prefix[db as usize] = next.unwrap_or(0);
            // A pass that began within the table leaves what is before its beginning.
            more |= next.is_some() || table.next_expiry_ms() <= now_ms;
            self.base.db = db;
            for bytes in keys {
                let key = self.base.key(&bytes);
                self.remove_if_expired(&key);
            }
        }
        self.base.db = here;
        more
    }

    /// A live entry for writers that first look at it.
    pub fn live_entry(&mut self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let found = self.live_place(key)?;
        Some(self.table_mut(key).entry_at(found))
    }
}
