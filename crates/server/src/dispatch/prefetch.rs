//! Brings the entries of several keys into the cache before they are looked up: first all their buckets, then what
//! these lead to. The requests of a batch do the second step a few requests ahead, see `net/batch`.
//!
//! With a million keys nearly every lookup waits two or three times for memory; prefetched together they wait once.
//! It is an unsafe operation, because the hash table is looked at without its locks.
//!
//! Source: the idea is group prefetching (Chen et al., "Improving Hash Join Performance through Prefetching",
//! ICDE 2004).

use swytch_store::table::PrefetchedBucket;

use crate::server::Server;

/// Keys prefetched together: more would wait for each other, since a core has some two dozen misses under way at most.
const GROUP: usize = 16;

/// Asks for the bucket of the key with this hash in database `db`.
#[inline]
pub fn bucket(server: &Server, db: u32, hash: u64) -> PrefetchedBucket {
    // SAFETY: requests are parsed and run on workers only, between entering and leaving their epochs.
    unsafe { server.shards.prefetch_bucket(db, hash) }
}

/// Prefetches the keys with these hashes in database `db`.
pub fn keys(server: &Server, db: u32, hashes: &[u64]) {
    for group in hashes.chunks(GROUP) {
        let mut buckets = [PrefetchedBucket::NONE; GROUP];
        for (slot, hash) in buckets.iter_mut().zip(group) {
            *slot = bucket(server, db, *hash);
        }
        for (bucket, hash) in buckets.iter().zip(group) {
            // SAFETY: this thread has stayed between the same two quiescent points.
            unsafe { bucket.prefetch_entry(*hash) };
        }
    }
}

/// Prefetches members of the value at a key in database `db`.
pub fn members(server: &Server, db: u32, key: &[u8], members: &mut dyn Iterator<Item = &[u8]>) {
    server.shards.prefetch_members(&server.shards.key(db, key), members);
}
