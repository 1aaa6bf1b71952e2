//! Brings the entries of several keys into the cache at once: first all their buckets, then what these lead to.
//!
//! With a million keys nearly every lookup waits two or three times for memory; asked for together they wait once.
//! It is an unsafe operation, because the hash table is looked at without its locks.
//!
//! Source: the idea is group prefetching (Chen et al., "Improving Hash Join Performance through Prefetching",
//! ICDE 2004).

use crate::server::Server;

/// Prefetches the keys with these hashes in database `db`.
#[inline]
pub fn prefetch(server: &Server, db: u32, hashes: impl Iterator<Item = u64> + Clone) {
    for hash in hashes.clone() {
        // SAFETY: requests are parsed and run on workers only, between entering and leaving their epochs.
        unsafe { server.shards.prefetch_bucket(db, hash) };
    }
    for hash in hashes {
        // SAFETY: as above.
        unsafe { server.shards.prefetch_entry(db, hash) };
    }
}
