//! Shards: the keyspace cut into parts with a lock each.
//!
//! A key's hash says its shard, whatever its database, so a command's lock set is known before SELECTs
//! inside a transaction are. Locks are taken in ascending order and held while one command, or one
//! transaction, runs. Reading the hash table's directory for prefetching needs no lock, see `table`.
//!
//! What a lock protects lies in a cell that is reached by unsafe code, since one lock set covers many cells.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RawMutex;
use parking_lot::lock_api::{RawMutex as _, RawMutexTimed as _};

use crate::adaptive::{Ghosts, Newcomers};
use crate::cut::ShardCut;
use crate::entry::{Entry, EntryRef};
use crate::observe::Observers;
use crate::readers::Readers;
use crate::table::{PrefetchedBucket, PublishedAt, RetiredSegment, Table, TableHint};
use crate::types::content::Value;
use crate::types::limits::{EncodingLimits, SharedLimits};
use crate::usage::{Counting, SharedUsage, Usage};
use crate::{HashSeed, Key};

/// Most shards a keyspace can have: twelve bits of the hash choose one.
pub const SHARDS_MAX: usize = 4096;

/// The tables of a shard, one for each database. The first, which most servers only use, lies in the shard itself.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tables {
    first: Table,
    others: Box<[Table]>,
}

impl Tables {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Table> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Table> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    /// Exchanges the tables of two databases.
    pub(crate) fn swap(&mut self, first: u32, second: u32) {
        let table = std::mem::replace(&mut self[first], Table::new(0));
        let table = std::mem::replace(&mut self[second], table);
        self[first] = table;
    }
}

impl Index<u32> for Tables {
    type Output = Table;

    #[inline]
    fn index(&self, db: u32) -> &Table {
        if db == 0 { &self.first } else { &self.others[db as usize - 1] }
    }
}

impl IndexMut<u32> for Tables {
    #[inline]
    fn index_mut(&mut self, db: u32) -> &mut Table {
        if db == 0 { &mut self.first } else { &mut self.others[db as usize - 1] }
    }
}

/// What a shard's lock protects.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct ShardData {
    /// True while [`Observers`] is not empty, or a cut is read: the one thing every write looks at.
    pub(crate) observed: bool,
    pub(crate) tables: Tables,
    pub(crate) observers: Observers,
    /// Prefix to go on from in the expiry cycle of each database.
    pub(crate) expiry_prefix: Box<[u32]>,
    /// Where chance decides.
    pub(crate) chance: Chance,
    /// A cut that is read.
    pub(crate) cut: Option<Box<ShardCut>>,
    /// Keys that were evicted, where they are remembered.
    pub(crate) ghosts: Ghosts,
    /// Keys that have just come, where that matters.
    pub(crate) newcomers: Newcomers,
}

impl ShardData {
    /// Keys of all databases.
    pub(crate) fn keys(&self) -> usize {
        self.tables.iter().map(Table::len).sum()
    }
}

/// Random numbers, of no use to whoever needs a secret.
#[derive(Debug)]
pub(crate) struct Chance(Cell<u64>);

impl Chance {
    pub(crate) fn new(seed: u64) -> Chance {
        Chance(Cell::new(seed))
    }

    /// The next one (SplitMix64).
    pub(crate) fn draw(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[repr(C, align(64))]
struct Shard {
    lock: RawMutex,
    /// Its holder has had it for so long that nobody is to wait for it.
    overdue: AtomicBool,
    data: UnsafeCell<ShardData>,
}

/// Memory that readers without a lock may still look at. Drop it when every thread has passed a
/// quiescent point, and on a thread that may take its time.
#[derive(Debug)]
pub enum Retired {
    /// The table of a flushed database, with all its entries.
    Table(Box<Table>),
    /// Segments emptied by merging.
    Segments(Vec<RetiredSegment>),
    /// An entry with a big value.
    Entry(Entry),
    /// Who had read what before everything was gone.
    Readers(Readers),
}

impl Retired {
    /// Bytes of the entry, if it is one.
    pub fn value_bytes(&self) -> u64 {
        match self {
            Retired::Entry(entry) => entry.as_ref().memory_bytes() as u64,
            Retired::Table(_) | Retired::Segments(_) | Retired::Readers(_) => 0,
        }
    }

    /// How many keys it was.
    pub fn keys(&self) -> u64 {
        match self {
            Retired::Table(table) => table.len() as u64,
            Retired::Segments(_) | Retired::Readers(_) => 0,
            Retired::Entry(_) => 1,
        }
    }
}

/// The sharded keyspace.
pub struct Shards {
    shards: Box<[Shard]>,
    /// Where prefetching finds the tables: those of database 0 first, in the order of the shards, so that what
    /// most servers use lies together.
    hints: Arc<[TableHint]>,
    mask: u64,
    seed: HashSeed,
    databases: usize,
    limits: SharedLimits,
    usage: SharedUsage,
    /// Listeners hear of reads that find no key.
    tells_misses: AtomicBool,
    contended: AtomicU64,
}

// SAFETY: `data` is reached only through `Locked`, which holds the shard's lock.
unsafe impl Sync for Shards {}

/// Which shards a command needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockScope {
    /// None.
    Nothing,
    /// One.
    One(u16),
    /// Several, ascending and distinct.
    Several(Vec<u16>),
    /// All.
    All,
}

impl LockScope {
    /// The scope that covers the given shards, in any order and with repetitions.
    pub fn of(mut shards: Vec<u16>) -> LockScope {
        shards.sort_unstable();
        shards.dedup();
        match shards[..] {
            [] => LockScope::Nothing,
            [only] => LockScope::One(only),
            _ => LockScope::Several(shards),
        }
    }

    /// True when the scope includes a shard.
    #[inline]
    pub fn covers(&self, shard: u16) -> bool {
        match self {
            LockScope::One(only) => *only == shard,
            LockScope::Nothing => false,
            LockScope::Several(shards) => shards.binary_search(&shard).is_ok(),
            LockScope::All => true,
        }
    }

    /// The union of two scopes.
    pub fn union(self, other: LockScope) -> LockScope {
        let mut shards = Vec::new();
        for scope in [self, other] {
            match scope {
                LockScope::Nothing => {}
                LockScope::One(only) => shards.push(only),
                LockScope::Several(several) => shards.extend(several),
                LockScope::All => return LockScope::All,
            }
        }
        LockScope::of(shards)
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shards")
            .field("shards", &self.shards.len())
            .field("databases", &self.databases)
            .finish()
    }
}

impl Shards {
    #[cold]
    fn acquire_contended(&self, lock: &RawMutex) {
        self.contended.fetch_add(1, Ordering::Relaxed);
        lock.lock();
    }

    /// An empty keyspace. `shards` is a power of two, at most [`SHARDS_MAX`].
    pub fn new(shards: usize, databases: usize, seed: HashSeed) -> Self {
        assert!(shards.is_power_of_two() && shards <= SHARDS_MAX, "the shard is a few bits of the hash");
        let hints: Arc<[TableHint]> = (0..shards * databases).map(|_| TableHint::default()).collect();
        let make = |index: usize| {
            let table = |db: usize| {
                let mut table = Table::new(index);
                table.attach(PublishedAt::new(&hints, db * shards + index));
                table
            };
            let tables = Tables { first: table(0), others: (1..databases).map(table).collect() };
            Shard {
                lock: RawMutex::INIT,
                overdue: AtomicBool::new(false),
                data: UnsafeCell::new(ShardData {
                    observed: false,
                    tables,
                    observers: Observers::default(),
                    expiry_prefix: vec![0; databases].into(),
                    chance: Chance::new(seed.hash(&index.to_le_bytes())),
                    cut: None,
                    ghosts: Ghosts::default(),
                    newcomers: Newcomers::default(),
                }),
            }
        };
        Shards {
            shards: (0..shards).map(make).collect(),
            hints,
            mask: shards as u64 - 1,
            seed,
            databases,
            limits: SharedLimits::default(),
            usage: SharedUsage::default(),
            tells_misses: AtomicBool::new(false),
            contended: AtomicU64::new(0),
        }
    }

    /// Hashes the name of a key. All databases have it in the same shard.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.seed.hash(bytes)
    }

    /// The shard of all keys of this name, whatever their database.
    pub fn shard_of_name(&self, bytes: &[u8]) -> u16 {
        self.shard_of_hash(self.hash(bytes))
    }

    /// A key of a database.
    #[inline]
    pub fn key<'k>(&self, db: u32, bytes: &'k [u8]) -> Key<'k> {
        Key { db, bytes, hash: self.hash(bytes) }
    }

    /// The limits of encodings.
    #[inline(always)]
    pub(crate) fn limits(&self) -> &SharedLimits {
        &self.limits
    }

    /// The limits of encodings now.
    pub fn encoding_limits(&self) -> EncodingLimits {
        self.limits.get()
    }

    /// Changes the limits of encodings, for what is changed from now on.
    pub fn set_limits(&self, limits: EncodingLimits) {
        self.limits.set(limits);
    }

    #[inline(always)]
    pub(crate) fn usage(&self) -> &SharedUsage {
        &self.usage
    }

    /// How counters of accesses grow and decay.
    pub fn counting(&self) -> Counting {
        self.usage.counting()
    }

    /// Sets what is kept of the use of keys, from now on.
    pub fn set_usage(&self, usage: Usage, counting: Counting) {
        self.usage.set(usage, counting);
    }

    /// How many keys there are, but for shards that a script has for too long.
    pub fn keys_in_time(&self) -> u64 {
        let locked =
            (0..self.count() as u16).filter_map(|shard| Some((shard, self.lock_one_in_time(shard)?)));
        locked.map(|(shard, locked)| locked.data(shard).keys() as u64).sum()
    }

    /// Says of how many keys there would be when memory is full, which is what a rule of eviction is found out by.
    pub fn expect_keys(&self, keys: u64) {
        if self.usage.is(Usage::Weighed) {
            self.usage.adaptive().expect(keys);
        }
    }

    /// Frees what was remembered for a rule of eviction that is not in force any more. The caller holds no locks.
    pub fn forget_uses(&self) {
        if self.usage.is(Usage::Weighed) || !self.usage.adaptive().take_memory() {
            return;
        }
        for shard in 0..self.count() as u16 {
            if let Some(mut locked) = self.lock_one_in_time(shard) {
                let data = locked.data_mut(shard);
                (data.ghosts, data.newcomers) = Default::default();
            }
        }
    }

    /// The half-life of uses that eviction has found to be the best, in the time in which as many keys are used as fit.
    pub fn half_life(&self) -> u32 {
        self.usage.adaptive().half_life()
    }

    /// Whether listeners hear of reads that find no key.
    pub(crate) fn tells_misses(&self) -> bool {
        self.tells_misses.load(Ordering::Relaxed)
    }

    /// Lets listeners hear of reads that find no key, or no longer.
    pub fn tell_misses(&self, tell: bool) {
        self.tells_misses.store(tell, Ordering::Relaxed);
    }

    /// The shard of a key.
    #[inline]
    pub fn shard_of(&self, key: &Key<'_>) -> u16 {
        self.shard_of_hash(key.hash)
    }

    /// The shard of the key with this hash.
    #[inline]
    pub fn shard_of_hash(&self, hash: u64) -> u16 {
        (hash & self.mask) as u16
    }

    /// Number of shards.
    pub fn count(&self) -> usize {
        self.shards.len()
    }

    /// Number of databases.
    pub fn databases(&self) -> usize {
        self.databases
    }

    /// How often a lock was found taken.
    pub fn contended(&self) -> u64 {
        self.contended.load(Ordering::Relaxed)
    }

    /// First step of a prefetch: the bucket of a key. The result is for [`PrefetchedBucket::prefetch_entry`].
    ///
    /// # Safety
    /// The calling thread is between two quiescent points (see [`Retired`]).
    #[inline]
    pub unsafe fn prefetch_bucket(&self, db: u32, hash: u64) -> PrefetchedBucket {
        let shard = (hash & self.mask) as usize;
        // SAFETY: by the contract.
        unsafe { self.hints[db as usize * self.shards.len() + shard].prefetch_bucket(shard, hash) }
    }

    /// Sends for what looking up members of the value of a key reads. Nothing happens while somebody has the lock.
    pub fn prefetch_members(&self, key: &Key<'_>, members: &mut dyn Iterator<Item = &[u8]>) {
        let shard = self.shard_of(key);
        let one = &self.shards[usize::from(shard)];
        if one.lock.try_lock() {
            let locked = Locked { shards: self, only: shard, one, several: None };
            let entry = locked.data(shard).tables[key.db].find(key);
            if let Some(Value::Collection(collection)) = entry.map(EntryRef::value) {
                collection.prefetch(members);
            }
        }
    }

    /// Takes the locks of a scope, in ascending order.
    #[inline]
    pub fn lock(&self, scope: LockScope) -> Locked<'_> {
        if let LockScope::One(only) = scope {
            return self.lock_one(only);
        }
        let one = &self.shards[0];
        if scope == LockScope::Nothing {
            return Locked { shards: self, only: NO_SHARD, one, several: None };
        }
        for shard in self.indices_of(&scope) {
            self.take(&self.shards[usize::from(shard)].lock);
        }
        Locked { shards: self, only: NO_SHARD, one, several: Some(Box::new(scope)) }
    }

    /// Takes the lock of one shard.
    #[inline(always)]
    pub fn lock_one(&self, shard: u16) -> Locked<'_> {
        let one = &self.shards[usize::from(shard)];
        self.take(&one.lock);
        Locked { shards: self, only: shard, one, several: None }
    }

    /// As [`Shards::lock`], but waits for no holder that is [overdue](Locked::set_overdue); `None` where one is.
    #[inline]
    pub fn lock_in_time(&self, scope: LockScope) -> Option<Locked<'_>> {
        if let LockScope::One(only) = scope {
            return self.lock_one_in_time(only);
        }
        let one = &self.shards[0];
        if scope == LockScope::Nothing {
            return Some(Locked { shards: self, only: NO_SHARD, one, several: None });
        }
        for shard in self.indices_of(&scope) {
            if !self.take_in_time(&self.shards[usize::from(shard)]) {
                for taken in self.indices_of(&scope).take_while(|taken| *taken < shard) {
                    // SAFETY: it was taken just now.
                    unsafe { self.shards[usize::from(taken)].lock.unlock() };
                }
                return None;
            }
        }
        Some(Locked { shards: self, only: NO_SHARD, one, several: Some(Box::new(scope)) })
    }

    /// [`Shards::lock_in_time`] of one shard.
    #[inline(always)]
    pub fn lock_one_in_time(&self, shard: u16) -> Option<Locked<'_>> {
        let one = &self.shards[usize::from(shard)];
        if !self.take_in_time(one) {
            return None;
        }
        Some(Locked { shards: self, only: shard, one, several: None })
    }

    /// Whether the holder of a shard is [overdue](Locked::set_overdue).
    pub fn is_overdue(&self, shard: u16) -> bool {
        self.shards[usize::from(shard)].overdue.load(Ordering::Relaxed)
    }

    /// Whether the holder of one of these shards is [overdue](Locked::set_overdue).
    pub fn is_one_overdue(&self, scope: &LockScope) -> bool {
        self.indices_of(scope).any(|shard| self.is_overdue(shard))
    }

    /// The shards of a scope, ascending.
    fn indices_of(&self, scope: &LockScope) -> impl DoubleEndedIterator<Item = u16> {
        let (some, all) = match scope {
            LockScope::Nothing => (&[][..], 0),
            LockScope::One(only) => (std::slice::from_ref(only), 0),
            LockScope::Several(shards) => (&shards[..], 0),
            LockScope::All => (&[][..], self.count() as u16),
        };
        some.iter().copied().chain(0..all)
    }

    #[inline]
    fn take(&self, lock: &RawMutex) {
        if !lock.try_lock() {
            self.acquire_contended(lock);
        }
    }

    #[inline(always)]
    fn take_in_time(&self, shard: &Shard) -> bool {
        shard.lock.try_lock() || self.wait_in_time(shard)
    }

    /// Waits for a lock, and looks now and then whether its holder is overdue.
    #[cold]
    fn wait_in_time(&self, shard: &Shard) -> bool {
        const LOOK: Duration = Duration::from_millis(20);
        self.contended.fetch_add(1, Ordering::Relaxed);
        while !shard.overdue.load(Ordering::Relaxed) {
            if shard.lock.try_lock_for(LOOK) {
                return true;
            }
        }
        // It may have been released a moment ago.
        shard.lock.try_lock()
    }
}

/// Held locks. Everything that reads or writes the keyspace borrows from one.
#[derive(Debug)]
pub struct Locked<'s> {
    shards: &'s Shards,
    /// The shard of [`LockScope::One`], else [`NO_SHARD`]: what nearly every access compares with.
    only: u16,
    /// That shard; another one, of no meaning, where there is none.
    one: &'s Shard,
    /// A scope of more than one shard. Behind a pointer, because a view is made for every command.
    several: Option<Box<LockScope>>,
}

/// No shard has this index.
const NO_SHARD: u16 = u16::MAX;

impl<'s> Locked<'s> {
    /// The keyspace whose locks are held.
    #[inline]
    pub fn shards(&self) -> &'s Shards {
        self.shards
    }

    /// What is locked.
    pub fn scope(&self) -> LockScope {
        match &self.several {
            Some(scope) => LockScope::clone(scope),
            None if self.only == NO_SHARD => LockScope::Nothing,
            None => LockScope::One(self.only),
        }
    }

    /// True when a shard is locked.
    #[inline]
    pub fn covers(&self, shard: u16) -> bool {
        shard == self.only || self.several.as_ref().is_some_and(|scope| scope.covers(shard))
    }

    /// Takes the lock of one more shard if nobody has it; false when somebody does. Since it does not wait, the order in
    /// which locks are taken does not matter.
    pub fn try_add(&mut self, shard: u16) -> bool {
        if self.covers(shard) {
            return true;
        }
        if !self.shards.shards[usize::from(shard)].lock.try_lock() {
            return false;
        }
        if self.only == NO_SHARD && self.several.is_none() {
            (self.only, self.one) = (shard, &self.shards.shards[usize::from(shard)]);
        } else {
            let scope = self.scope().union(LockScope::One(shard));
            (self.only, self.several) = (NO_SHARD, Some(Box::new(scope)));
        }
        true
    }

    /// Says of the locks that nobody is to wait for them, or that one may again. To be said again before they are
    /// released.
    pub fn set_overdue(&self, overdue: bool) {
        for shard in self.shards.indices_of(&self.scope()) {
            self.shards.shards[usize::from(shard)].overdue.store(overdue, Ordering::Relaxed);
        }
    }

    /// True when all shards are locked.
    pub fn covers_all(&self) -> bool {
        self.several.as_deref() == Some(&LockScope::All)
    }

    /// Reaching a shard without its lock is a bug that must not go unnoticed in production either.
    #[cold]
    fn check_covers(&self, shard: u16) {
        assert!(self.covers(shard), "shard {shard} is not among the locks of this command");
    }

    #[inline(always)]
    fn shard(&self, shard: u16) -> &'s Shard {
        if shard == self.only {
            return self.one;
        }
        self.check_covers(shard);
        &self.shards.shards[usize::from(shard)]
    }

    /// Data of a locked shard.
    #[inline(always)]
    pub(crate) fn data(&self, shard: u16) -> &ShardData {
        // SAFETY: its lock is held by `self`, and `&self` allows no `&mut` at the same time.
        unsafe { &*self.shard(shard).data.get() }
    }

    /// Data of a locked shard, to change.
    #[inline(always)]
    pub(crate) fn data_mut(&mut self, shard: u16) -> &mut ShardData {
        // SAFETY: its lock is held by `self`, and `&mut self` makes this the only borrow.
        unsafe { &mut *self.shard(shard).data.get() }
    }

    /// True when a key of a locked shard may have expired by `now_ms`.
    pub fn has_due(&self, shard: u16, now_ms: crate::UnixMs) -> bool {
        self.data(shard).tables.iter().any(|table| table.next_expiry_ms() <= now_ms)
    }

    /// Moves entries of a locked shard together, see [`Table::move_entries`].
    pub fn move_entries(&mut self, shard: u16, db: u32, prefix: u32, count: usize) -> Option<u32> {
        self.data_mut(shard).tables[db].move_entries(prefix, count)
    }

    /// The locked shards, ascending.
    pub fn shard_indices(&self) -> Vec<u16> {
        self.shards.indices_of(&self.scope()).collect()
    }

    /// True when somebody observes a key of a locked shard.
    #[inline(always)]
    pub fn is_observed(&self) -> bool {
        if self.only != NO_SHARD {
            return self.data(self.only).observed;
        }
        let several = self.several.as_deref();
        several.is_some_and(|scope| self.shards.indices_of(scope).any(|shard| self.data(shard).observed))
    }

    /// Changes who observes a shard's keys.
    pub fn with_observers<R>(&mut self, shard: u16, change: impl FnOnce(&mut Observers) -> R) -> R {
        let data = self.data_mut(shard);
        let result = change(&mut data.observers);
        data.look_for_observers();
        result
    }

    /// Observers of a locked shard.
    pub fn observers(&self, shard: u16) -> &Observers {
        &self.data(shard).observers
    }
}

impl Locked<'_> {
    /// Releases the lock if there is just one; false when there are none or several.
    #[inline(always)]
    pub(crate) fn release_one(&mut self) -> bool {
        if self.only == NO_SHARD {
            return false;
        }
        // SAFETY: `lock` took it and nobody else releases it.
        unsafe { self.one.lock.unlock() };
        self.only = NO_SHARD;
        true
    }

    /// Releases all locks; the view covers nothing afterwards.
    #[inline(always)]
    pub(crate) fn release(&mut self) {
        self.release_one();
        if let Some(scope) = self.several.take() {
            self.release_several(&scope);
        }
    }

    #[inline(never)]
    fn release_several(&self, scope: &LockScope) {
        for shard in self.shards.indices_of(scope).rev() {
            // SAFETY: `lock` took it and nobody else releases it.
            unsafe { self.shards.shards[usize::from(shard)].lock.unlock() };
        }
    }
}

impl Drop for Locked<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::{LockScope, Shards};
    use crate::HashSeed;

    #[test]
    fn nobody_waits_for_a_holder_that_is_overdue_and_nobody_takes_its_lock() {
        let shards = Shards::new(4, 1, HashSeed::new([1, 2, 3]));
        let mut held = shards.lock(LockScope::One(2));
        held.set_overdue(true);
        for _ in 0..2 {
            for scope in [LockScope::One(2), LockScope::Several(vec![1, 2]), LockScope::All] {
                assert!(shards.lock_in_time(scope).is_none());
            }
            // What was taken on the way is free again.
            assert!([0, 1, 3].into_iter().all(|shard| shards.lock_one_in_time(shard).is_some()));
        }
        assert!(held.try_add(0) && held.try_add(2) && held.covers(0) && !held.covers_all());
        assert!(shards.lock_in_time(LockScope::Nothing).is_some_and(|mut nothing| !nothing.try_add(0)));
        held.set_overdue(false);
        drop(held);
        assert!(shards.lock_in_time(LockScope::All).is_some_and(|all| all.covers_all()));
    }
}
