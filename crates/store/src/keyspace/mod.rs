//! What a command sees of the keyspace while it holds its locks.
//!
//! [`Keyspace`] only reads; [`KeyspaceMut`] adds what changes, each through the `door`. A command declared read-only is
//! given the former, so one that writes does not compile. A key names its database; a view has none. Expired keys are
//! invisible to both; a reader notes those it met, and they are removed before the locks are released. In the same way it
//! notes keys that are not there, while somebody wants to hear of them.

mod door;
mod keys;
mod whole;
mod write;

use std::cell::{Cell, RefCell};

use crate::entry::EntryRef;
use crate::shard::{LockScope, Locked};
use crate::table::{Figures, SCAN_POSITION_BITS, Table};
use crate::types::collection::Row;
use crate::types::content::Value;
use crate::types::limits::{EncodingLimits, SharedLimits};
use crate::types::string::Text;
use crate::usage::{Usage, access_clock};
use crate::{Key, UnixMs};

pub(crate) use door::Tables;
pub use door::{Absent, Editor, Misfit};
pub use write::{Changes, Expiry, KeyspaceMut};

/// The value has another type than the command works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// What reading left behind; the server adds it to its statistics.
#[derive(Debug, Default)]
pub struct Lookups {
    /// Reads that found their key.
    pub hits: Cell<u64>,
    /// Reads that did not.
    pub misses: Cell<u64>,
}

/// What a reader met that somebody is to hear of, or to do something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// A key whose time is over, or that of a part of its value.
    Expired,
    /// No key.
    Nothing,
}

/// What was met, in order: the database, the key.
type Encounters = Vec<(Met, u32, Box<[u8]>)>;

/// A read-only view under held locks.
#[derive(Debug)]
pub struct Keyspace<'s> {
    locked: Locked<'s>,
    now_ms: UnixMs,
    /// Accesses set the clock of an entry, unless the client asked not to (CLIENT NO-TOUCH).
    touch: bool,
    /// Expired keys are visible while effects of another server are applied: it decides when they go.
    ignore_expiry: bool,
    leaves_strangers: Cell<bool>,
    /// [`Keyspace::met`] is not empty.
    has_met: Cell<bool>,
    lookups: Lookups,
    /// Behind a pointer, because a view is made for every command.
    met: RefCell<Option<Box<Encounters>>>,
}

impl<'s> Keyspace<'s> {
    /// A view at time `now_ms`.
    #[inline(always)]
    pub fn new(locked: Locked<'s>, now_ms: UnixMs) -> Self {
        Keyspace {
            locked,
            now_ms,
            touch: true,
            ignore_expiry: false,
            leaves_strangers: Cell::new(false),
            has_met: Cell::new(false),
            lookups: Lookups::default(),
            met: RefCell::new(None),
        }
    }

    /// Time of the command, the same for all of a transaction.
    pub fn now_ms(&self) -> UnixMs {
        self.now_ms
    }

    /// Releases the lock of a view of one shard; true when nothing is left to be dropped. A view that is not closed is
    /// released when it is dropped.
    #[inline(always)]
    pub fn close(&mut self) -> bool {
        self.locked.release_one() && !self.has_met.get()
    }

    /// Releases the locks and takes those of another scope; nothing has been read or changed yet.
    pub fn relock_in_time(mut self, shards: &'s crate::Shards, scope: LockScope) -> Option<Self> {
        // Give up the old locks before waiting for new ones, or two writers could wait for each other.
        self.locked.release();
        self.locked = shards.lock_in_time(scope)?;
        Some(self)
    }

    /// True when the key is stored but its time is over.
    pub fn is_expired(&self, key: &Key<'_>) -> bool {
        self.stored(key).and_then(EntryRef::expire_at_ms).is_some_and(|at_ms| at_ms <= self.now_ms)
    }

    /// True when the key exists and its time is not over; neither counted nor touched.
    pub fn is_live(&self, key: &Key<'_>) -> bool {
        self.stored(key).is_some_and(|entry| entry.expire_at_ms().is_none_or(|at_ms| at_ms > self.now_ms))
    }

    /// Moves the view to a later time: what happens after a transaction sees what expired during it.
    pub fn set_now_ms(&mut self, now_ms: UnixMs) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Whether accesses set the access clock.
    #[inline(always)]
    pub fn touching(self, touch: bool) -> Self {
        Keyspace { touch, ..self }
    }

    /// [`Keyspace::touching`], from now on.
    pub fn set_touching(&mut self, touch: bool) {
        self.touch = touch;
    }

    /// Whether expired keys are visible, for effects that another server decided.
    #[inline(always)]
    pub fn ignoring_expiry(self, ignore_expiry: bool) -> Self {
        Keyspace { ignore_expiry, ..self }
    }

    /// [`Keyspace::ignoring_expiry`], from now on.
    pub fn set_ignores_expiry(&mut self, ignores_expiry: bool) {
        self.ignore_expiry = ignores_expiry;
    }

    /// What parts of values expired by is over for who looks through this view: its time, or never where what has expired
    /// is visible.
    #[inline]
    pub fn visible_ms(&self) -> UnixMs {
        if self.ignore_expiry { 0 } else { self.now_ms }
    }

    /// Whether expired keys are visible.
    pub fn ignores_expiry(&self) -> bool {
        self.ignore_expiry
    }

    /// Number of databases.
    pub fn databases(&self) -> u32 {
        self.locked.shards().databases() as u32
    }

    /// Hits and misses so far.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// The locks behind this view.
    pub fn locked(&self) -> &Locked<'s> {
        &self.locked
    }

    /// The locks behind this view, to change who observes keys.
    pub fn locked_mut(&mut self) -> &mut Locked<'s> {
        &mut self.locked
    }

    /// Hashes a key of a database.
    #[inline]
    pub fn key<'k>(&self, db: u32, bytes: &'k [u8]) -> Key<'k> {
        self.locked.shards().key(db, bytes)
    }

    /// The limits of encodings.
    pub fn limits(&self) -> EncodingLimits {
        self.locked.shards().limits().get()
    }

    /// Sends for what looking a key up reads first, so that it is there when several are looked up one after another.
    #[inline]
    pub fn prefetch(&self, key: &Key<'_>) {
        self.table(key).prefetch(key.hash);
    }

    #[inline]
    fn table(&self, key: &Key<'_>) -> &Table {
        &self.locked.data(self.locked.shards().shard_of(key)).tables[key.db]
    }

    #[inline]
    fn table_mut(&mut self, key: &Key<'_>) -> &mut Table {
        let shard = self.locked.shards().shard_of(key);
        &mut self.locked.data_mut(shard).tables[key.db]
    }

    /// The table of a key, and the limits of what is put there.
    #[inline(always)]
    fn table_and_limits(&mut self, key: &Key<'_>) -> (&mut Table, &'s SharedLimits) {
        let limits = self.locked.shards().limits();
        (self.table_mut(key), limits)
    }

    #[cold]
    fn note_expired(&self, db: u32, key: &[u8]) {
        self.note(Met::Expired, db, key);
    }

    /// Whether keys whose time is over stay where they are found by who has not named them: walks and random draws.
    pub fn leaving_strangers(&self, leaves: bool) {
        self.leaves_strangers.set(leaves);
    }

    #[cold]
    fn come_across_expired(&self, db: u32, key: &[u8]) {
        if !self.leaves_strangers.get() {
            self.note_expired(db, key);
        }
    }

    #[cold]
    fn note(&self, met: Met, db: u32, key: &[u8]) {
        self.met.borrow_mut().get_or_insert_default().push((met, db, key.into()));
        self.has_met.set(true);
    }

    /// Counts a read that found no key.
    fn miss(&self, key: &Key<'_>) {
        self.lookups.misses.set(self.lookups.misses.get() + 1);
        if self.locked.shards().tells_misses() {
            self.note(Met::Nothing, key.db, key.bytes);
        }
    }

    /// The live entry of a key, without counting or touching it.
    #[inline(always)]
    pub fn peek(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let entry = self.table(key).find(key)?;
        if let Some(at_ms) = entry.expire_at_ms()
            && at_ms <= self.now_ms
            && !self.ignore_expiry
        {
            self.note_expired(key.db, key.bytes);
            return None;
        }
        Some(entry)
    }

    /// The live entry of a key, as a read of its value counts it.
    #[inline(always)]
    pub fn find(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let entry = self.peek(key);
        match &entry {
            Some(entry) => {
                self.lookups.hits.set(self.lookups.hits.get() + 1);
                if self.touch {
                    self.note_read(key, *entry);
                }
            }
            None => self.miss(key),
        }
        entry
    }

    /// Notes that the value of an entry is read.
    #[inline(always)]
    fn note_read(&self, key: &Key<'_>, entry: EntryRef<'_>) {
        if self.locked.shards().usage().is(Usage::Accessed) {
            entry.set_clock(access_clock(self.now_ms));
        } else {
            self.note_read_otherwise(key, entry);
        }
    }

    #[cold]
    fn note_read_otherwise(&self, key: &Key<'_>, entry: EntryRef<'_>) {
        if !self.locked.shards().usage().is(Usage::Modified) {
            entry.set_clock(self.stamp(key, Some(entry)));
        }
    }

    /// The stamp of an entry that is used now, or of a new one.
    #[inline(always)]
    fn stamp(&self, key: &Key<'_>, entry: Option<EntryRef<'_>>) -> u32 {
        let shards = self.locked.shards();
        if !shards.usage().looks_back() {
            return access_clock(self.now_ms);
        }
        let shard = self.locked.data(shards.shard_of(key));
        shards.usage().stamp(entry.map(EntryRef::clock), key, shard, self.now_ms)
    }

    /// The live entry of a key, counted as a read but without setting its access clock: TYPE, TTL and others
    /// that look at a key without using its value.
    #[inline]
    pub fn look(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let entry = self.peek(key);
        match entry {
            Some(_) => self.lookups.hits.set(self.lookups.hits.get() + 1),
            None => self.miss(key),
        }
        entry
    }

    /// As [`Keyspace::look`], but nobody hears of it that there is no key (OBJECT).
    pub fn inspect(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        let entry = self.peek(key);
        let counter = if entry.is_some() { &self.lookups.hits } else { &self.lookups.misses };
        counter.set(counter.get() + 1);
        entry
    }

    /// The value of a key.
    #[inline]
    pub fn value(&self, key: &Key<'_>) -> Option<Value<'_>> {
        self.find(key).map(EntryRef::value)
    }

    /// The string at a key.
    #[inline]
    pub fn string(&self, key: &Key<'_>) -> Result<Option<Text<'_>>, WrongType> {
        match self.value(key) {
            None => Ok(None),
            Some(value) => Text::of(value).map(Some).ok_or(WrongType),
        }
    }

    /// The collection at a key.
    ///
    /// # Errors
    /// If it holds another type.
    #[inline]
    pub fn get<C: Row>(&self, key: &Key<'_>) -> Result<Option<&C>, WrongType> {
        match self.find(key) {
            None => Ok(None),
            Some(entry) => {
                let value: &C = entry.collection().ok_or(WrongType)?;
                if value.due_ms().is_some_and(|due_ms| due_ms <= self.visible_ms()) {
                    self.note_expired(key.db, key.bytes);
                }
                Ok(Some(value))
            }
        }
    }

    /// As [`Keyspace::get`] for whoever is going to change the collection, or has read it before: it is no read.
    ///
    /// # Errors
    /// If the key holds another type.
    pub fn check<C: Row>(&self, key: &Key<'_>) -> Result<Option<&C>, WrongType> {
        self.peek(key).map(|entry| entry.collection().ok_or(WrongType)).transpose()
    }

    /// True when the key exists.
    pub fn exists(&self, key: &Key<'_>) -> bool {
        self.look(key).is_some()
    }

    /// The stored entry of a key, be it expired or not, neither counted nor touched (DEBUG, MEMORY USAGE).
    pub fn stored(&self, key: &Key<'_>) -> Option<EntryRef<'_>> {
        self.table(key).find(key)
    }

    /// Every stored entry of a database, those included whose time is over. Needs all locks.
    pub fn stored_entries(&self, db: u32) -> impl Iterator<Item = EntryRef<'_>> + '_ {
        self.tables(db).flat_map(Table::iter)
    }

    fn tables(&self, db: u32) -> impl Iterator<Item = &Table> + '_ {
        let shards = self.locked.shards().count() as u16;
        (0..shards).map(move |shard| &self.locked.data(shard).tables[db])
    }

    /// Keys of a database, and those of them that expire. Needs all locks.
    pub fn sizes(&self, db: u32) -> (usize, usize) {
        self.tables(db)
            .fold((0, 0), |(keys, expiring), table| (keys + table.len(), expiring + table.expiring()))
    }

    /// Adds what is known of the keys of a database in one locked shard to that of others.
    pub fn add_to(&self, figures: &mut Figures, shard: u16, db: u32) {
        self.locked.data(shard).tables[db].add_to(figures);
    }

    /// Bytes of the table of a database in one locked shard.
    pub fn shard_table_bytes(&self, shard: u16, db: u32) -> usize {
        self.locked.data(shard).tables[db].overhead_bytes()
    }

    /// Bytes of a database's tables, and how many segments they have. Needs all locks.
    pub fn table_shape(&self, db: u32) -> (usize, usize) {
        self.tables(db).fold((0, 0), |(bytes, segments), table| {
            (bytes + table.overhead_bytes(), segments + table.shape().1)
        })
    }

    /// Every visible entry of a database. Needs all locks.
    pub fn entries(&self, db: u32) -> impl Iterator<Item = EntryRef<'_>> + '_ {
        self.tables(db).flat_map(Table::iter).filter(|entry| self.shows(*entry))
    }

    fn shows(&self, entry: EntryRef<'_>) -> bool {
        entry.expire_at_ms().is_none_or(|at_ms| at_ms > self.visible_ms())
    }

    /// A random live key of a database. Needs all locks. `random` gives 64 random bits.
    pub fn random_key(&self, db: u32, mut random: impl FnMut() -> u64) -> Option<Vec<u8>> {
        let total = self.sizes(db).0;
        if total == 0 {
            return None;
        }
        // Expired keys are drawn again, a bounded number of times, as Redis does.
        for _ in 0..100 {
            let mut left = (random() % total as u64) as usize;
            let table = self.tables(db).find(|table| {
                let inside = left < table.len();
                left = left.saturating_sub(table.len());
                inside
            })?;
            let entry = table.random(&mut random)?;
            if self.shows(entry) {
                return Some(entry.key().to_vec());
            }
            self.come_across_expired(db, entry.key());
        }
        self.entries(db).next().map(|entry| entry.key().to_vec())
    }

    /// One bounded step of a scan of database `db` in one locked shard: visits live entries from
    /// `cursor` on, of those whose keys are admitted, until `wanted` entries or `buckets_max` buckets were looked at or the
    /// shard ends.
    pub fn scan_shard(
        &self,
        db: u32,
        cursor: ScanCursor,
        wanted: &mut usize,
        buckets_max: &mut usize,
        admits: impl Fn(&[u8]) -> bool,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> Option<ScanCursor> {
        let table = &self.locked.data(cursor.shard).tables[db];
        let mut position = Some(cursor.position);
        if table.is_empty() {
            position = None;
        }
        while let Some(at) = position {
            if *wanted == 0 || *buckets_max == 0 {
                return Some(ScanCursor { shard: cursor.shard, position: at });
            }
            position = table.scan(at, |entry| {
                *wanted = wanted.saturating_sub(1);
                match entry.expire_at_ms() {
                    _ if !admits(entry.key()) => {}
                    Some(at_ms) if at_ms <= self.visible_ms() => self.come_across_expired(db, entry.key()),
                    _ => visit(entry),
                }
            });
            *buckets_max -= 1;
        }
        let next = usize::from(cursor.shard) + 1;
        (next < self.locked.shards().count()).then_some(ScanCursor { shard: next as u16, position: 0 })
    }

    /// True when something was met that [`KeyspaceMut::finish`] has to do something about: keys whose time is over, and
    /// where listeners hear of it, keys that are not there.
    #[inline]
    pub fn has_met(&self) -> bool {
        self.has_met.get()
    }

    /// What is locked.
    pub fn scope(&self) -> LockScope {
        self.locked.scope()
    }
}

/// A place in the scan of a database; as a number it is the cursor that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanCursor {
    /// The shard to go on in.
    pub shard: u16,
    /// The position in its table.
    pub position: u64,
}

impl ScanCursor {
    /// Reads a client's cursor; any number is accepted, as Redis does, and one that names no shard ends the scan.
    pub fn from_number(number: u64, shards: usize) -> Option<ScanCursor> {
        let shard = number >> SCAN_POSITION_BITS;
        (shard < shards as u64)
            .then_some(ScanCursor { shard: shard as u16, position: number & ((1 << SCAN_POSITION_BITS) - 1) })
    }

    /// The number a client is given.
    pub fn to_number(self) -> u64 {
        u64::from(self.shard) << SCAN_POSITION_BITS | self.position
    }
}

#[cfg(test)]
mod tests;
