//! Who waits for a key: transactions that watch it and clients that are parked on it.
//!
//! Both are kept per shard, under the shard's lock, and only while somebody waits; a shard nobody
//! observes pays one branch per change.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

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
    /// Indices of the shards of every key that serving it may touch, ascending.
    pub shards: Vec<u16>,
    /// What the server needs to serve it; the store does not look inside.
    pub payload: Box<dyn Any + Send + Sync>,
}

impl Waiter {
    /// A waiter that has not been served.
    pub fn new(shards: Vec<u16>, payload: Box<dyn Any + Send + Sync>) -> Self {
        Waiter { state: AtomicU8::new(WaiterState::Waiting as u8), shards, payload }
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
        f.debug_struct("Waiter").field("state", &self.state).field("shards", &self.shards).finish()
    }
}

type KeyMap<V> = HashMap<Box<[u8]>, V>;

/// The observers of one shard.
#[derive(Debug, Default)]
pub struct Observers {
    watchers: HashMap<u32, KeyMap<Vec<WatchFlag>>>,
    waiters: HashMap<u32, KeyMap<VecDeque<Arc<Waiter>>>>,
}

impl Observers {
    /// True when nobody observes any key of the shard.
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty() && self.waiters.is_empty()
    }

    /// Registers `flag` to be raised at the next change of the key.
    pub fn watch(&mut self, db: u32, key: &[u8], flag: &WatchFlag) {
        self.watchers.entry(db).or_default().entry(key.into()).or_default().push(Arc::clone(flag));
    }

    /// Takes back [`Observers::watch`].
    pub fn unwatch(&mut self, db: u32, key: &[u8], flag: &WatchFlag) {
        let Some(keys) = self.watchers.get_mut(&db) else { return };
        if let Some(flags) = keys.get_mut(key) {
            flags.retain(|other| !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.watchers.remove(&db);
        }
    }

    /// Parks `waiter` behind those that already wait for the key.
    pub fn park(&mut self, db: u32, key: &[u8], waiter: &Arc<Waiter>) {
        let queue = self.waiters.entry(db).or_default().entry(key.into()).or_default();
        if !queue.iter().any(|other| Arc::ptr_eq(other, waiter)) {
            queue.push_back(Arc::clone(waiter));
        }
    }

    /// Takes `waiter` out of the key's queue.
    pub fn unpark(&mut self, db: u32, key: &[u8], waiter: &Arc<Waiter>) {
        let Some(keys) = self.waiters.get_mut(&db) else { return };
        if let Some(queue) = keys.get_mut(key) {
            queue.retain(|other| !Arc::ptr_eq(other, waiter));
            if queue.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.waiters.remove(&db);
        }
    }

    /// The clients parked on a key, first come first; those already claimed are dropped.
    pub fn parked(&mut self, db: u32, key: &[u8]) -> Vec<Arc<Waiter>> {
        let Some(queue) = self.waiters.get_mut(&db).and_then(|keys| keys.get_mut(key)) else {
            return Vec::new();
        };
        queue.retain(|waiter| waiter.is_waiting());
        queue.iter().cloned().collect()
    }

    /// True when a client is parked on the key.
    pub fn is_awaited(&self, db: u32, key: &[u8]) -> bool {
        self.waiters.get(&db).is_some_and(|keys| keys.contains_key(key))
    }

    /// Every shard that serving a client parked here may touch.
    pub fn shards_of_waiters(&self) -> Vec<u16> {
        let queues = self.waiters.values().flat_map(HashMap::values);
        queues
            .flatten()
            .filter(|waiter| waiter.is_waiting())
            .flat_map(|waiter| waiter.shards.clone())
            .collect()
    }

    /// True when any client is parked in this shard.
    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Number of keys that clients are parked on, and that transactions watch, in all databases.
    pub fn key_counts(&self) -> (usize, usize) {
        (self.waiters.values().map(HashMap::len).sum(), self.watchers.values().map(HashMap::len).sum())
    }

    /// Keys of `db` that clients are parked on.
    pub fn awaited_keys(&self, db: u32) -> Vec<Box<[u8]>> {
        self.waiters.get(&db).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// Keys of `db` that transactions watch.
    pub fn watched_keys(&self, db: u32) -> Vec<Box<[u8]>> {
        self.watchers.get(&db).map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    /// Raises the flags of a key's watchers.
    pub fn raise(&self, db: u32, key: &[u8]) {
        if let Some(flags) = self.watchers.get(&db).and_then(|keys| keys.get(key)) {
            for flag in flags {
                flag.store(true, Ordering::Release);
            }
        }
    }
}
