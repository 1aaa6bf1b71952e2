//! Who waits for a key: transactions that watch it, clients that are parked on it, and those that keep what they have read
//! of it.
//!
//! All are kept per shard, under the shard's lock, and only while somebody waits; a shard nobody
//! observes pays one branch per change.
//!
//! Who waits for a key is served in the order of tickets. A ticket is drawn under the locks of all keys its
//! owner waits for, so for any two who wait for the same key the order of tickets is the order of arrival.
//! What has become of a waiter is decided by one atomic exchange ([`Waiter::claim`]), by whoever is first and
//! with or without locks; an entry of a queue whose waiter is already claimed means nothing any more, and
//! is taken out by the thread that owns the client, or by the first who meets it.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use crate::readers::Readers;

/// Raised when a watched key changes (WATCH).
pub type WatchFlag = Arc<AtomicBool>;

/// What has become of a parked client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WaiterState {
    /// Still waiting.
    Waiting = 0,
    /// A writer serves it or has served it.
    Served = 1,
    /// It gave up: timeout, CLIENT UNBLOCK, disconnect.
    Gone = 2,
}

/// A client parked on one or more keys. Whoever moves its state away from `Waiting` answers it.
pub struct Waiter {
    state: AtomicU8,
    ticket: u64,
    /// Shards of every key that serving it may touch, when that is more than popping from the one shard it
    /// waits in; empty otherwise.
    shards: Vec<u16>,
    /// What the server needs to serve it; the store does not look inside.
    pub payload: Box<dyn Any + Send + Sync>,
}

/// The next waiter's ticket.
static TICKETS: AtomicU64 = AtomicU64::new(0);

impl Waiter {
    /// A waiter that has not been served. Made under the locks of all its keys. `shards` are those of every key
    /// that serving it may touch; they may be left empty if it does nothing but take from a key of a single shard.
    pub fn new(mut shards: Vec<u16>, payload: Box<dyn Any + Send + Sync>) -> Self {
        shards.sort_unstable();
        shards.dedup();
        let ticket = TICKETS.fetch_add(1, Ordering::Relaxed);
        Waiter { state: AtomicU8::new(WaiterState::Waiting as u8), ticket, shards, payload }
    }

    /// Moves from `Waiting` to `to`; false when somebody else was first.
    pub fn claim(&self, to: WaiterState) -> bool {
        self.state
            .compare_exchange(WaiterState::Waiting as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// True until somebody has claimed it.
    pub fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Acquire) == WaiterState::Waiting as u8
    }
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter")
            .field("state", &self.state)
            .field("ticket", &self.ticket)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

type KeyMap<V> = HashMap<Box<[u8]>, V>;

/// A transaction that watches a key.
#[derive(Debug)]
struct Watcher {
    flag: WatchFlag,
    /// The key was there when it began to watch. That an absent or expired key goes is no change.
    was_live: bool,
}

/// Where a flag is: no two that are kept have the same address.
fn address(flag: &WatchFlag) -> usize {
    Arc::as_ptr(flag).addr()
}

/// Those who wait for one key, by ticket.
#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<u64, Arc<Waiter>>,
    /// Those of them that need more than this key's shard.
    wide: usize,
}

/// The observers of one shard.
#[derive(Debug, Default)]
pub struct Observers {
    /// By the address of their flag, so that one of many who watch a key leaves as fast as one of few.
    watchers: HashMap<u32, KeyMap<HashMap<usize, Watcher>>>,
    waiters: HashMap<u32, KeyMap<Queue>>,
    /// Shards that waiters here need, with the number of queue entries that need each.
    wide: BTreeMap<u16, usize>,
    /// Who keeps what was read of which key.
    pub readers: Readers,
}

impl Observers {
    /// True when nobody observes any key of the shard.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty() && self.waiters.is_empty() && self.readers.is_empty()
    }

    /// Registers `flag` to be raised at the next change of the key.
    pub fn watch(&mut self, db: u32, key: &[u8], flag: &WatchFlag, was_live: bool) {
        let watchers = self.watchers.entry(db).or_default().entry(key.into()).or_default();
        watchers.insert(address(flag), Watcher { flag: Arc::clone(flag), was_live });
    }

    /// Takes back [`Observers::watch`].
    pub fn unwatch(&mut self, db: u32, key: &[u8], flag: &WatchFlag) {
        let Some(keys) = self.watchers.get_mut(&db) else { return };
        if let Some(watchers) = keys.get_mut(key) {
            watchers.remove(&address(flag));
            if watchers.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.watchers.remove(&db);
        }
    }

    /// Raises the flags of a key's watchers: its value has changed.
    pub fn raise(&self, db: u32, key: &[u8]) {
        self.raise_where(db, key, |_| true);
    }

    /// Raises the flags of those who watched a key that was there then: it has gone because its time was over.
    pub fn raise_expired(&self, db: u32, key: &[u8]) {
        self.raise_where(db, key, |watcher| watcher.was_live);
    }

    fn raise_where(&self, db: u32, key: &[u8], concerned: impl Fn(&Watcher) -> bool) {
        if let Some(watchers) = self.watchers.get(&db).and_then(|keys| keys.get(key)) {
            for watcher in watchers.values().filter(|watcher| concerned(watcher)) {
                watcher.flag.store(true, Ordering::Release);
            }
        }
    }

    /// Keys of `db` that transactions watch.
    pub fn watched_keys(&self, db: u32) -> Vec<Box<[u8]>> {
        self.watchers.get(&db).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// Parks `waiter` behind those that already wait for the key; a key it is already parked on is left as it is.
    pub fn park(&mut self, db: u32, key: &[u8], waiter: &Arc<Waiter>) {
        let queue = self.waiters.entry(db).or_default().entry(key.into()).or_default();
        if queue.waiting.insert(waiter.ticket, Arc::clone(waiter)).is_none() && !waiter.shards.is_empty() {
            queue.wide += 1;
            for shard in &waiter.shards {
                *self.wide.entry(*shard).or_default() += 1;
            }
        }
    }

    /// Takes `waiter` out of the key's queue.
    pub fn unpark(&mut self, db: u32, key: &[u8], waiter: &Waiter) {
        let Some(keys) = self.waiters.get_mut(&db) else { return };
        let Some(queue) = keys.get_mut(key) else { return };
        if queue.waiting.remove(&waiter.ticket).is_some() && !waiter.shards.is_empty() {
            queue.wide -= 1;
            for shard in &waiter.shards {
                let count = self.wide.get_mut(shard).expect("parking has counted it");
                *count -= 1;
                if *count == 0 {
                    self.wide.remove(shard);
                }
            }
        }
        if queue.waiting.is_empty() {
            keys.remove(key);
            if keys.is_empty() {
                self.waiters.remove(&db);
            }
        }
    }

    /// The one that has waited longest for the key among those that are `wanted` and came `behind` another, if that is
    /// given.
    pub fn first(
        &self,
        db: u32,
        key: &[u8],
        behind: Option<&Waiter>,
        wanted: impl Fn(&Waiter) -> bool,
    ) -> Option<Arc<Waiter>> {
        let queue = self.waiters.get(&db)?.get(key)?;
        let from = behind.map_or(0, |waiter| waiter.ticket + 1);
        queue.waiting.range(from..).map(|(_, waiter)| waiter).find(|waiter| wanted(waiter)).cloned()
    }

    /// True when a client is parked on the key.
    pub fn is_awaited(&self, db: u32, key: &[u8]) -> bool {
        self.waiters.get(&db).is_some_and(|keys| keys.contains_key(key))
    }

    /// True when a client parked on the key, in any database, needs more than this shard.
    pub fn is_awaited_widely(&self, key: &[u8]) -> bool {
        !self.wide.is_empty()
            && self.waiters.values().any(|keys| keys.get(key).is_some_and(|queue| queue.wide > 0))
    }

    /// Every shard that serving the clients parked here may touch, this one aside.
    pub fn shards_needed(&self) -> impl Iterator<Item = u16> + '_ {
        self.wide.keys().copied()
    }

    /// Number of keys that clients are parked on, and that transactions watch, in all databases.
    pub fn key_counts(&self) -> (usize, usize) {
        (self.waiters.values().map(HashMap::len).sum(), self.watchers.values().map(HashMap::len).sum())
    }

    /// Number of keys, in all databases, with a parked client of whom something holds.
    pub fn count_awaited(&self, holds: impl Fn(&[u8], &Waiter) -> bool) -> usize {
        let queues = self.waiters.values().flatten();
        queues.filter(|(key, queue)| queue.waiting.values().any(|waiter| holds(key, waiter))).count()
    }

    /// Keys of `db` that clients are parked on.
    pub fn awaited_keys(&self, db: u32) -> Vec<Box<[u8]>> {
        self.waiters.get(&db).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(shards: &[u16]) -> Arc<Waiter> {
        Arc::new(Waiter::new(shards.to_vec(), Box::new(())))
    }

    #[test]
    fn the_longest_waiting_comes_first_and_parking_twice_counts_once() {
        let mut observers = Observers::default();
        let (first, second) = (waiter(&[]), waiter(&[]));
        for waiter in [&second, &first, &first] {
            observers.park(0, b"k", waiter);
        }
        let found = observers.first(0, b"k", None, |_| true).expect("two wait");
        assert!(Arc::ptr_eq(&found, &first));
        let next = observers.first(0, b"k", Some(&found), |_| true).expect("two wait");
        assert!(Arc::ptr_eq(&next, &second));
        assert!(observers.first(0, b"k", Some(&next), |_| true).is_none());
        observers.unpark(0, b"k", &first);
        assert!(Arc::ptr_eq(&observers.first(0, b"k", None, |_| true).expect("one waits"), &second));
        observers.unpark(0, b"k", &second);
        assert!(observers.is_empty());
    }

    #[test]
    fn the_shards_that_waiters_need_are_known_until_the_last_of_them_leaves() {
        let mut observers = Observers::default();
        let (narrow, wide, wider) = (waiter(&[]), waiter(&[3, 1, 3]), waiter(&[3, 7]));
        observers.park(0, b"narrow", &narrow);
        assert!(!observers.is_awaited_widely(b"narrow"));
        observers.park(5, b"k", &wide);
        observers.park(0, b"k", &wider);
        observers.park(0, b"other", &wider);
        assert!(observers.is_awaited_widely(b"k") && !observers.is_awaited_widely(b"narrow"));
        assert_eq!(observers.shards_needed().collect::<Vec<_>>(), [1, 3, 7]);
        observers.unpark(5, b"k", &wide);
        observers.unpark(5, b"k", &wide);
        observers.unpark(0, b"k", &wider);
        assert_eq!(observers.shards_needed().collect::<Vec<_>>(), [3, 7]);
        observers.unpark(0, b"other", &wider);
        observers.unpark(0, b"narrow", &narrow);
        assert!(observers.is_empty() && observers.shards_needed().next().is_none());
    }

    #[test]
    fn a_waiter_is_claimed_once() {
        let waiter = waiter(&[]);
        assert!(waiter.is_waiting() && waiter.claim(WaiterState::Gone));
        assert!(!waiter.claim(WaiterState::Served) && !waiter.is_waiting());
    }

    #[test]
    fn the_end_of_an_expired_key_concerns_only_those_who_saw_it_alive() {
        let mut observers = Observers::default();
        let (saw_it, saw_nothing) = (WatchFlag::default(), WatchFlag::default());
        observers.watch(0, b"k", &saw_it, true);
        observers.watch(0, b"k", &saw_nothing, false);
        observers.raise_expired(0, b"k");
        assert!(saw_it.load(Ordering::Relaxed) && !saw_nothing.load(Ordering::Relaxed));
        observers.raise(0, b"k");
        assert!(saw_nothing.load(Ordering::Relaxed));
        observers.unwatch(0, b"k", &saw_it);
        observers.unwatch(0, b"k", &saw_nothing);
        assert!(observers.is_empty());
    }
}
