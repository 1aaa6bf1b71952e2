//! Keys as wholes, whatever the type of their values: removed, replaced, expiring, renamed, moved, copied, taken back.

use super::KeyspaceMut;
use crate::effect::{At, Effect, Event, KeyOp, KeyspaceOp};
use crate::entry::{Entry, EntryRef};
use crate::table::Found;
use crate::types::Op;
use crate::types::OwnedValue;
use crate::types::content::Value;
use crate::undo::{EffectUndo, Overwritten, OwnedEntry, Undo};
use crate::{Key, UnixMs};

impl KeyspaceMut<'_, '_> {
    /// Removes a key; false when it did not exist.
    pub fn delete(&mut self, key: &Key<'_>) -> bool {
        self.attend_to_met();
        let Some(found) = self.live_place(key) else { return false };
        let said = || (Op::Key(KeyOp::Delete), Event::generic("del"));
        self.alter(key, Undo::of, |tables| tables.remove(key, found), said);
        true
    }

    /// Removes a key if it has expired; true when it was.
    #[cold]
    pub fn remove_if_expired(&mut self, key: &Key<'_>) -> bool {
        if !self.base.is_expired(key) {
            return false;
        }
        let Some(found) = self.base.table_mut(key).find_place(key) else { return false };
        let undo = self.wants_undo().then(|| EffectUndo::Key(Undo::of(self.base.stored(key))));
        self.act(key, |tables| tables.remove(key, found));
        // As in Redis it is no change that a save would be due for.
        self.changes.expired += 1;
        let op = Op::Key(KeyOp::Delete);
        self.tell(&Effect { db: key.db, at: At::Key { key: key.bytes, op } }, undo);
        self.notify(Event::EXPIRED, key);
        self.signal_expired(key);
        true
    }

    /// Removes a key to make room; false when it is not there, or its time is over anyway.
    pub fn evict(&mut self, key: &Key<'_>) -> bool {
        let Some(found) = self.live_place(key) else { return false };
        let undo = self.wants_undo().then(|| EffectUndo::Key(Undo::of(self.base.stored(key))));
        self.act(key, |tables| tables.remove(key, found));
        // As in Redis it is no change that a save would be due for.
        self.changes.evicted += 1;
        let op = Op::Key(KeyOp::Delete);
        self.tell(&Effect { db: key.db, at: At::Key { key: key.bytes, op } }, undo);
        self.notify(Event::EVICTED, key);
        self.signal(key);
        true
    }

    /// Puts a whole value at a key, whatever was there.
    pub fn replace(&mut self, key: &Key<'_>, value: OwnedValue, expire_at_ms: Option<UnixMs>, event: Event) {
        self.attend_to_met();
        // An op is said after its change, and by then the value belongs to the entry.
        let copy = self.observed.then(|| value.clone());
        let found = self.live_place(key);
        let clock = self.stamp_at(key, found);
        self.alter(
            key,
            Undo::of,
            |tables| {
                let entry = value.into_entry(key.bytes, expire_at_ms, clock);
                match found {
                    Some(_) => tables.put(key, entry),
                    None => tables.insert(key, entry),
                }
            },
            || {
                let value = copy.as_ref().map(Value::of);
                (Op::Key(KeyOp::Replace { value, expire_at_ms }), event)
            },
        );
    }

    /// Puts a whole entry at a key, whatever was there, or removes it. Expired keys have to be visible.
    pub fn restore(&mut self, key: &Key<'_>, entry: Option<&OwnedEntry>) {
        match entry {
            Some(OwnedEntry { value, expire_at_ms }) => {
                self.replace(key, value.clone(), *expire_at_ms, Event::generic("restore"));
            }
            None => _ = self.delete(key),
        }
    }

    /// Takes back an effect whose [`Undo`] this is, on a key that is as the effect has left it. Expired keys have to be
    /// [visible](super::Keyspace::ignoring_expiry).
    pub fn undo(&mut self, key: &Key<'_>, undo: &Undo) {
        let in_place = match &undo.overwritten {
            Overwritten::Expiry => true,
            Overwritten::Part(part) => part.take_back_at(self, key),
            Overwritten::Absent | Overwritten::Whole(_) => false,
        };
        if !in_place {
            let mut entry = self.stored(key).map(OwnedEntry::of);
            undo.roll_back(&mut entry);
            return self.restore(key, entry.as_ref());
        }
        match undo.expire_at_ms {
            Some(at_ms) => self.expire_at(key, at_ms),
            None => self.persist(key),
        };
    }

    /// Sets when an existing key expires; false when it does not exist. A time already past is stored as it
    /// is: the caller decides whether that means deletion.
    pub fn expire_at(&mut self, key: &Key<'_>, at_ms: UnixMs) -> bool {
        let Some(found) = self.live_place(key) else { return false };
        self.alter(
            key,
            Undo::of_expiry,
            |tables| {
                let table = tables.table(key);
                if table.entry_at(found).expire_at_ms().is_some() {
                    table.with_entry(found, |entry| entry.as_ref().set_expire_in_place(at_ms));
                } else {
                    table.update(found, |entry| (entry.rebuilt(None, Some(at_ms)), ()));
                }
            },
            || (Op::Key(KeyOp::ExpireAt { at_ms }), Event::generic("expire")),
        );
        true
    }

    /// Takes away a key's expiry; false when it had none.
    pub fn persist(&mut self, key: &Key<'_>) -> bool {
        let Some(found) = self.live_place(key) else { return false };
        if self.entry_at(key, found).expire_at_ms().is_none() {
            return false;
        }
        self.alter(
            key,
            Undo::of_expiry,
            |tables| tables.table(key).update(found, |entry| (entry.rebuilt(None, None), ())),
            || (Op::Key(KeyOp::Persist), Event::generic("persist")),
        );
        true
    }

    /// Moves the value of `from`, with its expiry, to `to` in the same database, in place of what is there; false when
    /// `from` does not exist.
    pub fn rename(&mut self, from: &Key<'_>, to: &Key<'_>) -> bool {
        let op = KeyspaceOp::Rename { from: from.bytes, to: to.bytes };
        self.relocate(from, to, op, ["rename_from", "rename_to"])
    }

    /// Moves a key with its expiry to another database; false when it is not here or already there.
    pub fn move_to(&mut self, key: &Key<'_>, to_db: u32) -> bool {
        let to = key.in_db(to_db);
        if self.live_place(key).is_none() || self.live_place(&to).is_some() {
            return false;
        }
        let op = KeyspaceOp::Move { key: key.bytes, to_db };
        self.relocate(key, &to, op, ["move_from", "move_to"])
    }

    fn relocate(
        &mut self,
        from: &Key<'_>,
        to: &Key<'_>,
        op: KeyspaceOp<'_>,
        events: [&'static str; 2],
    ) -> bool {
        let Some(found) = self.live_places(from, to) else { return false };
        let undo = self.wants_undo().then(|| {
            let moved = OwnedEntry::of(self.entry_at(from, found));
            // One that is renamed to its own name is there again.
            let overwritten = if from.is(to) { None } else { self.base.stored(to) };
            EffectUndo::Moved { moved, overwritten: Undo::of(overwritten) }
        });
        self.tell_misses();
        let overwritten = if from.is(to) { None } else { self.base.stored(to).map(EntryRef::data_type) };
        let clock = self.stamp_at(to, None);
        self.keep(from);
        self.act(to, |tables| {
            let entry = tables.take(from, found);
            let expire_at_ms = entry.as_ref().expire_at_ms();
            let entry = entry.rebuilt(Some(to.bytes), expire_at_ms);
            entry.as_ref().set_clock(clock);
            tables.put(to, entry);
        });
        self.changes.dirty += 1;
        self.tell(&Effect { db: from.db, at: At::Keyspace(op) }, undo);
        self.notify(Event::NEW, to);
        for (event, key) in events.into_iter().zip([from, to]) {
            self.notify(Event::generic(event), key);
            self.signal(key);
        }
        self.tell_overwritten(to, overwritten);
        true
    }

    /// The place of a live key, after what is at `to` and over is gone.
    fn live_places(&mut self, from: &Key<'_>, to: &Key<'_>) -> Option<Found> {
        self.live_place(from)?;
        self.live_place(to);
        // What was removed may have moved it.
        self.live_place(from)
    }

    /// Copies the value of `from`, with its expiry, to `to`, in place of whatever is there; false when `from` does not
    /// exist.
    pub fn copy(&mut self, from: &Key<'_>, to: &Key<'_>) -> bool {
        let Some(found) = self.live_places(from, to) else { return false };
        let clock = self.stamp_at(to, None);
        let copy = Entry::duplicated(self.entry_at(from, found), to.bytes, clock);
        let undo = self.wants_undo().then(|| EffectUndo::Copied {
            copy: OwnedEntry::of(copy.as_ref()),
            overwritten: Undo::of(self.base.stored(to)),
        });
        let overwritten = self.base.stored(to).map(EntryRef::data_type);
        self.act(to, |tables| tables.put(to, copy));
        self.changes.dirty += 1;
        let op = KeyspaceOp::Copy { from: from.bytes, to: to.bytes, to_db: to.db };
        self.tell(&Effect { db: from.db, at: At::Keyspace(op) }, undo);
        self.notify(Event::NEW, to);
        self.notify(Event::generic("copy_to"), to);
        self.tell_overwritten(to, overwritten);
        self.signal(to);
        true
    }
}
