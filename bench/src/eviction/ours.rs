//! What the server evicts: its keyspace and its search for keys that go, with a limit of what the trace says that keys take.

use swytch_store::eviction::Picked;
use swytch_store::{
    Counting, Event, Evictable, Expiry, HashSeed, Keyspace, KeyspaceMut, LockScope, Order, Picker, Shards,
    Usage,
};

use super::{Cache, REQUESTS_PER_MINUTE};

/// As many as a server of one thread has.
const SHARDS: usize = 32;
const SAMPLES: usize = 10;
const REQUEST_MS: u64 = 60_000 / REQUESTS_PER_MINUTE;
const REQUESTS_PER_ROUND: u64 = 100;
/// What one of a trace's units of room is.
const UNIT_BYTES: usize = 64;
static VALUE: [u8; 128 * UNIT_BYTES] = [b'v'; 128 * UNIT_BYTES];

/// The server's keyspace.
pub(super) struct Ours<'t> {
    shards: Shards,
    picker: Picker,
    rule: Evictable,
    sizes: &'t [u32],
    limit: u64,
    used: u64,
    requests: u64,
    now_ms: u64,
}

impl<'t> Ours<'t> {
    pub(super) fn new(order: Order, usage: Usage, sizes: &'t [u32], limit: u64) -> Self {
        let shards = Shards::new(SHARDS, 1, HashSeed::new([1, 2, 3]));
        shards.set_usage(usage, Counting::default());
        let rule = Evictable { order, only_expiring: false, samples: SAMPLES };
        Ours { shards, picker: Picker::default(), rule, sizes, limit, used: 0, requests: 0, now_ms: 1 << 40 }
    }

    fn size(&self, key: u32) -> u64 {
        self.sizes[key as usize].into()
    }

    /// What the server's housekeeping does every tenth of a second.
    fn expect_keys(&mut self) {
        self.shards.expect_keys(self.shards.keys_in_time() * self.limit / self.used.max(1));
    }

    fn evict(&mut self) {
        let Picked::Key(candidate) = self.picker.pick(&self.shards, &self.rule, self.now_ms) else { return };
        let key = candidate.key();
        let locked = self.shards.lock(LockScope::One(self.shards.shard_of(&key)));
        let mut keyspace = KeyspaceMut::new(Keyspace::new(locked, self.now_ms), None);
        keyspace.evict_picked(&self.rule, &candidate);
        let has_gone = keyspace.changes_mut().evicted > 0;
        let retired = keyspace.changes_mut().take_retired();
        drop((keyspace, retired));
        if has_gone {
            let number =
                key.bytes.try_into().map(u32::from_be_bytes).expect("keys are numbers of four bytes");
            self.used -= self.size(number);
        }
    }
}

impl Cache for Ours<'_> {
    fn access(&mut self, number: u32) -> bool {
        self.now_ms += REQUEST_MS;
        self.requests += 1;
        if self.requests.is_multiple_of(REQUESTS_PER_ROUND) {
            self.expect_keys();
        }
        let size = self.size(number);
        let name = number.to_be_bytes();
        let key = self.shards.key(0, &name);
        let scope = || LockScope::One(self.shards.shard_of(&key));
        let is_there = Keyspace::new(self.shards.lock(scope()), self.now_ms).value(&key).is_some();
        if !is_there {
            let mut keyspace = KeyspaceMut::new(Keyspace::new(self.shards.lock(scope()), self.now_ms), None);
            let value = &VALUE[..VALUE.len().min(size as usize * UNIT_BYTES)];
            keyspace.set(&key, value, Expiry::Clear, Event::string("set"));
            drop(keyspace);
            self.used += size;
            while self.used > self.limit {
                self.evict();
            }
        }
        is_there
    }
}
