//! The write view: what it is made of, what it leaves behind, and where keys are that have not expired.

use std::ops::{Deref, DerefMut};

use super::{Keyspace, Met};
use crate::effect::{Event, Sink, Wants};
use crate::entry::EntryRef;
use crate::readers::Stale;
use crate::shard::{Retired, ShardData};
use crate::table::Found;
use crate::usage::{Counting, FREQUENCY_INITIAL, Usage, access_clock};
use crate::{Key, Type, Undo, UnixMs};

/// Most parts of a value that expire at once.
const EXPIRED_PARTS_MAX: usize = 64;

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

/// What a command left behind for the server once its locks are released.
#[derive(Debug, Default)]
pub struct Changes {
    /// Number of changes, as `rdb_changes_since_last_save` counts them.
    pub dirty: u64,
    /// Keys removed because they had expired.
    pub expired: u64,
    /// Parts of values removed because they had.
    pub expired_parts: u64,
    /// Keys removed to make room.
    pub evicted: u64,
    /// What most changes do not leave. Behind a pointer, because a view is made for every command.
    rare: Option<Box<RareChanges>>,
}

#[derive(Debug, Default)]
struct RareChanges {
    ready: Vec<(u32, Box<[u8]>)>,
    retired: Vec<Retired>,
    stale: Vec<Stale>,
    /// Whatever anybody has read is no longer true: names that this was noted of, and their readers.
    all_stale: Option<(usize, usize)>,
    /// Of the change that is being made.
    foreseen: Foreseen,
}

/// What was known of a key before a change that listeners are told of.
#[derive(Debug, Default)]
pub(super) struct Foreseen {
    /// What takes the change back, if somebody wants it.
    pub(super) undo: Option<Undo>,
    /// The type of the value that was there.
    pub(super) kind: Option<Type>,
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

    /// Memory that readers without a lock may still look at.
    pub(super) fn retire(&mut self, retired: Retired) {
        self.rare().retired.push(retired);
    }

    /// Keeps what was there while it is changed: here, because an unobserved change must not even make room for it.
    pub(super) fn foresee(&mut self, foreseen: Foreseen) {
        self.rare().foreseen = foreseen;
    }

    /// What was there before the change that was made.
    pub(super) fn take_foreseen(&mut self) -> Foreseen {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.foreseen)).unwrap_or_default()
    }

    /// A key that somebody waits for has changed.
    pub fn make_ready(&mut self, db: u32, key: &[u8]) {
        self.rare().ready.push((db, key.into()));
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

    /// What was read of a key is no longer true.
    fn make_stale(&mut self, stale: Stale) {
        self.rare().stale.push(stale);
    }

    /// Nor is anything else that was read, before all of it was gone.
    pub(super) fn make_all_stale(&mut self, names: usize, items: usize) {
        let all = self.rare().all_stale.get_or_insert_default();
        *all = (all.0 + names, all.1 + items);
    }

    /// True when somebody has read what is no longer true.
    #[inline]
    pub fn has_stale(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.all_stale.is_some() || !rare.stale.is_empty())
    }

    /// Keys that have changed since others have read them, with those who have, in the order of the changes; each is given
    /// once.
    pub fn take_stale(&mut self) -> Vec<Stale> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.stale)).unwrap_or_default()
    }

    /// Whether all that anybody has read is no longer true: of how many names that was, and how many readers these had
    /// together; said once.
    pub fn take_all_stale(&mut self) -> Option<(usize, usize)> {
        self.rare.as_mut().and_then(|rare| rare.all_stale.take())
    }

    /// Memory to free where it delays nobody; given once.
    pub fn take_retired(&mut self) -> Vec<Retired> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.retired)).unwrap_or_default()
    }
}

/// A view that reads and changes.
pub struct KeyspaceMut<'s, 'e> {
    pub(super) base: Keyspace<'s>,
    pub(super) sink: Option<&'e mut dyn Sink>,
    /// What the sink wants to be told; without one it is of no meaning.
    pub(super) wants: Wants,
    /// False lets a change skip everything that only observers need.
    pub(super) observed: bool,
    pub(super) changes: Changes,
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
    pub fn new(base: Keyspace<'s>, sink: Option<&'e mut dyn Sink>) -> Self {
        let observed = sink.is_some() || base.locked.is_observed();
        let wants = sink.as_ref().map_or(Wants::OPS, |sink| sink.wants());
        KeyspaceMut { base, sink, wants, observed, changes: Changes::default() }
    }

    /// Removes what readers met expired and gives out what happened; the locks stay held until the
    /// returned view is dropped.
    #[inline]
    pub fn finish(mut self) -> (Keyspace<'s>, Changes) {
        self.attend_to_met();
        (self.base, self.changes)
    }

    /// Removes what readers met expired, and tells of what they did not find: what a command does after it has read other
    /// keys is heard after it.
    #[inline]
    pub fn attend_to_met(&mut self) {
        if self.base.has_met() {
            self.attend_to(|_| true);
        }
    }

    /// Has listeners take a command that changes nothing and has its place among the changes.
    pub fn message(&mut self, db: u32, words: &[&[u8]]) {
        if let Some(sink) = &mut self.sink {
            sink.message(db, words);
        }
    }

    /// Tells of keys that readers did not find, before a change is told of.
    #[inline]
    pub(super) fn tell_misses(&mut self) {
        if self.base.has_met() {
            // Those whose time is over wait: a change may have found its place already.
            self.attend_to(|met| met == Met::Nothing);
        }
    }

    /// The number of changes, if nothing else is left to be done: then the view may simply be dropped.
    #[inline]
    pub fn settled(&self) -> Option<u64> {
        let changes = &self.changes;
        let has_expired =
            changes.expired + changes.expired_parts + changes.evicted > 0 || self.base.has_met();
        let settled = changes.rare.is_none() && !has_expired;
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

    /// Takes the lock of one more shard, see [`crate::Locked::try_add`].
    pub fn try_add(&mut self, shard: u16) -> bool {
        let added = self.base.locked.try_add(shard);
        self.refresh_observed();
        added
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
    fn attend_to(&mut self, now: impl Fn(Met) -> bool) {
        let met = self.base.met.take().map(|met| *met).unwrap_or_default();
        let (met, later): (Vec<_>, Vec<_>) = met.into_iter().partition(|(met, ..)| now(*met));
        self.base.has_met.set(!later.is_empty());
        self.base.met.replace((!later.is_empty()).then(|| Box::new(later)));
        for (met, db, bytes) in met {
            let key = self.base.key(db, &bytes);
            match met {
                Met::Expired => self.expire(&key),
                Met::Nothing => self.notify(Event::KEY_MISS, &key),
            }
        }
    }

    /// Removes a key whose time is over, or parts of its value whose time is.
    fn expire(&mut self, key: &Key<'_>) {
        if !self.remove_if_expired(key)
            && let Some(entry) = self.base.stored(key)
            && entry.part_due_ms().is_some()
        {
            entry.data_type().expire_parts(self, key, EXPIRED_PARTS_MAX);
        }
    }

    #[inline]
    pub(crate) fn shard_data(&mut self, key: &Key<'_>) -> &mut ShardData {
        let shard = self.base.locked.shards().shard_of(key);
        self.base.locked.data_mut(shard)
    }

    /// The entry at a place.
    #[inline]
    pub(crate) fn entry_at(&mut self, key: &Key<'_>, found: Found) -> EntryRef<'_> {
        self.base.table_mut(key).entry_at(found)
    }

    /// The stamp of the entry at a place that is used now, or of a new one.
    #[inline(always)]
    pub(crate) fn stamp_at(&mut self, key: &Key<'_>, found: Option<Found>) -> u32 {
        // The entry is looked at only where its stamp counts.
        if self.base.locked.shards().usage().looks_back()
            && let Some(found) = found
        {
            let before = self.entry_at(key, found).clock();
            return self.stamp_after(key, before);
        }
        self.base.stamp(key, None)
    }

    #[cold]
    fn stamp_after(&self, key: &Key<'_>, before: u32) -> u32 {
        let shards = self.base.locked.shards();
        let shard = self.base.locked.data(shards.shard_of(key));
        shards.usage().stamp(Some(before), key, shard, self.base.now_ms)
    }

    /// Sets how an entry that came from elsewhere was used: so long ago, or so often. What does not count here, or was not
    /// said, is as for a new one.
    pub fn set_usage(&mut self, key: &Key<'_>, idle_s: Option<u64>, frequency: Option<u8>) {
        let now_ms = self.base.now_ms;
        let usage = self.base.locked.shards().usage();
        if usage.is(Usage::Weighed) {
            return;
        }
        let stamp = match usage.is(Usage::Counted) {
            true => Counting::stamp(frequency.unwrap_or(FREQUENCY_INITIAL), now_ms),
            false => access_clock(now_ms.saturating_sub(idle_s.unwrap_or(0).saturating_mul(1000))),
        };
        if let Some(entry) = self.live_entry(key) {
            entry.set_clock(stamp);
        }
    }

    /// Before a key changes: a cut keeps what is there.
    #[inline(always)]
    pub(super) fn keep(&mut self, key: &Key<'_>) {
        if self.observed {
            self.shard_data(key).keep(key);
        }
    }

    /// After a key has changed: what is there now is not of a cut.
    #[inline(always)]
    pub(super) fn mark(&mut self, key: &Key<'_>) {
        if self.observed {
            self.shard_data(key).mark(key);
        }
    }

    /// A key has changed: raises the flags of its watchers, and remembers it for parked clients and for those who have read it.
    pub(super) fn signal(&mut self, key: &Key<'_>) {
        if !self.observed {
            return;
        }
        let data = self.shard_data(key);
        if data.observed {
            data.observers.raise(key.db, key.bytes);
            // A key that is gone again by the time the waiters are looked at serves none of them.
            if data.observers.is_awaited(key.db, key.bytes) {
                self.changes.make_ready(key.db, key.bytes);
            }
        }
        self.signal_readers(key, false);
    }

    /// A key has gone because its time was over.
    pub(super) fn signal_expired(&mut self, key: &Key<'_>) {
        if self.observed {
            self.shard_data(key).observers.raise_expired(key.db, key.bytes);
            self.signal_readers(key, true);
        }
    }

    fn signal_readers(&mut self, key: &Key<'_>, has_expired: bool) {
        let data = self.shard_data(key);
        if data.observed
            && let Some(stale) = data.observers.readers.take(key.hash, key.bytes)
        {
            data.look_for_observers();
            self.changes.make_stale(stale);
        }
        if let Some(sink) = &mut self.sink {
            sink.touched(key.bytes, has_expired);
        }
    }

    /// A notification about a key.
    pub fn notify(&mut self, event: Event, key: &Key<'_>) {
        if let Some(sink) = &mut self.sink
            && self.wants.events
            && !event.name.is_empty()
        {
            sink.event(key.db, event, key.bytes);
        }
    }

    /// The place of a live key; an expired one is removed first.
    #[inline(always)]
    pub(crate) fn live_place(&mut self, key: &Key<'_>) -> Option<Found> {
        let now_ms = self.base.now_ms;
        let ignore_expiry = self.base.ignore_expiry;
        let table = self.base.table_mut(key);
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

    /// A live entry for writers that first look at it.
    pub fn live_entry(&mut self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let found = self.live_place(key)?;
        Some(self.entry_at(key, found))
    }

    /// One bounded step of active expiry in a locked shard; true when more may be due there.
    pub fn expire_due(&mut self, shard: u16, limit: usize) -> bool {
        let now_ms = self.base.now_ms;
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
            for bytes in keys {
                let key = self.base.key(db, &bytes);
                self.expire(&key);
            }
            // A pass that began within the table leaves what is before its beginning, and a value may have more to lose.
            more |= next.is_some() || self.base.locked.data(shard).tables[db].next_expiry_ms() <= now_ms;
        }
        more
    }
}
