//! What all clients hold together, as far as `maxmemory-clients` is about it. `dispatch/client_room` closes those that hold most.
//!
//! Invariant: the total is the sum of [`ClientShared::counted_bytes`] of all clients. Whoever exchanges one adds the difference,
//! so it holds whichever threads do so at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::ClientShared;

/// Lowest limit: below it nobody could talk to the server to raise it (Redis: the same).
const LIMIT_BYTES_MIN: u64 = 128 << 10;

/// See the file's head.
#[derive(Debug)]
pub struct ClientMemory {
    /// `u64::MAX` for none.
    limit_bytes: AtomicU64,
    total_bytes: AtomicU64,
    /// Those who may be closed were, and it is still too much: until somebody looks again nobody else does.
    is_futile: AtomicBool,
    /// Held by who closes clients.
    closing: Mutex<()>,
    /// Clients that were closed.
    pub evicted: AtomicU64,
}

impl Default for ClientMemory {
    fn default() -> ClientMemory {
        ClientMemory {
            limit_bytes: AtomicU64::new(u64::MAX),
            total_bytes: AtomicU64::new(0),
            is_futile: AtomicBool::new(false),
            closing: Mutex::new(()),
            evicted: AtomicU64::new(0),
        }
    }
}

impl ClientMemory {
    /// `maxmemory-clients` as it is kept, bytes or a negative percentage of `maxmemory`.
    pub fn set_limit(&self, maxmemory_clients: i64, maxmemory: u64) {
        let limit_bytes = match u64::try_from(maxmemory_clients) {
            Ok(0) => u64::MAX,
            Ok(bytes) => bytes.max(LIMIT_BYTES_MIN),
            Err(_) if maxmemory == 0 => u64::MAX,
            Err(_) => {
                let percent = u128::from(maxmemory_clients.unsigned_abs());
                ((u128::from(maxmemory) * percent / 100) as u64).max(LIMIT_BYTES_MIN)
            }
        };
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
        self.look_again();
    }

    /// True where there is a limit.
    #[inline]
    pub fn is_limited(&self) -> bool {
        self.limit_bytes.load(Ordering::Relaxed) != u64::MAX
    }

    /// True where a client's holding so much more would be too much.
    pub fn has_no_room_for(&self, bytes: usize) -> bool {
        bytes > 0 && self.is_too_much(self.total_bytes.load(Ordering::Relaxed).saturating_add(bytes as u64))
    }

    /// Counts what a client holds now, and says how much that is. Of a client that may leave at any moment this is asked while it
    /// cannot ([`Registry::for_each`](super::Registry::for_each)): who has left would count for good.
    pub fn count(&self, client: &ClientShared) -> u64 {
        let bytes = if client.is_follower() { 0 } else { client.memory_bytes() };
        self.exchange(client, bytes);
        bytes
    }

    /// A client holds nothing any more.
    pub fn forget(&self, client: &ClientShared) {
        self.exchange(client, 0);
    }

    fn exchange(&self, client: &ClientShared, bytes: u64) {
        let before = client.counted_bytes.swap(bytes, Ordering::Relaxed);
        // Wraps around where it becomes less.
        self.total_bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }

    /// True where all clients may not hold so much.
    pub fn is_too_much(&self, bytes: u64) -> bool {
        bytes > self.limit_bytes.load(Ordering::Relaxed)
    }

    /// True while it may help to close clients.
    pub fn wants_room(&self) -> bool {
        // While it is being changed the sum may be negative, which is a large number; then somebody looks for nothing.
        self.is_too_much(self.total_bytes.load(Ordering::Relaxed)) && !self.is_futile.load(Ordering::Relaxed)
    }

    /// One thread at a time closes clients.
    pub fn begin_to_close(&self) -> MutexGuard<'_, ()> {
        self.closing.lock()
    }

    /// All were closed that may be.
    pub fn note_futile(&self) {
        self.is_futile.store(true, Ordering::Relaxed);
    }

    /// What did not help may help now.
    pub fn look_again(&self) {
        self.is_futile.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_bytes_or_a_part_of_maxmemory_and_never_tiny() {
        let memory = ClientMemory::default();
        for (value, maxmemory, limit) in [
            (0, 1 << 30, u64::MAX),
            (1 << 20, 0, 1 << 20),
            (1, 0, LIMIT_BYTES_MIN),
            (-5, 0, u64::MAX),
            (-5, 100 << 20, 5 << 20),
            (-100, u64::MAX, u64::MAX),
            (-1, 1 << 20, LIMIT_BYTES_MIN),
        ] {
            memory.set_limit(value, maxmemory);
            assert_eq!(memory.limit_bytes.load(Ordering::Relaxed), limit, "{value} of {maxmemory}");
        }
    }
}
