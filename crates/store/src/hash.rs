//! The keyed hash of the keyspace.
//!
//! Folded multiplication (the core of wyhash): two 64-bit lanes are multiplied to 128 bits and the
//! halves are mixed. The seed is drawn at start, so clients cannot prepare colliding keys. How the
//! 64 bits are used: bits 0..12 choose the shard, bits 16..32 the bucket in a segment, bits 48..64
//! are the tag in the slot, whose upper part also chooses the segment.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// The secret of one server process.
#[derive(Clone, Copy, Debug)]
pub struct HashSeed {
    lanes: [u64; 3],
}

impl HashSeed {
    /// A seed from random bits of the caller.
    pub fn new(random: [u64; 3]) -> Self {
        // Lanes with few bits set would multiply to few bits: mix in odd constants.
        HashSeed {
            lanes: [random[0] ^ 0x9e37_79b9_7f4a_7c15, random[1] ^ 0xd6e8_feb8_6659_fd93, random[2] | 1],
        }
    }

    /// The seed for members of values, which is drawn when it is first used.
    #[inline]
    pub fn of_process() -> &'static HashSeed {
        static SEED: OnceLock<HashSeed> = OnceLock::new();
        SEED.get_or_init(|| HashSeed::new([(); 3].map(|()| RandomState::new().hash_one(0))))
    }

    /// Hashes a key.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let [first, second, third] = self.lanes;
        let len = bytes.len();
        let (low, high) = if len <= 16 {
            match len {
                8.. => (word(bytes, 0), word(bytes, len - 8)),
                4.. => (half(bytes, 0), half(bytes, len - 4)),
                1.. => (
                    u64::from(bytes[0]) << 16 | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]),
                    0,
                ),
                0 => (0, 0),
            }
        } else {
            return self.hash_long(bytes);
        };
        let mixed = fold(low ^ first, high ^ second);
        fold(mixed ^ third, (len as u64) ^ first)
    }

    fn hash_long(&self, bytes: &[u8]) -> u64 {
        let [first, second, third] = self.lanes;
        let len = bytes.len();
        let mut state = third;
        let mut at = 0;
        while at + 16 < len {
            state = fold(word(bytes, at) ^ first ^ state, word(bytes, at + 8) ^ second);
            at += 16;
        }
        let mixed = fold(word(bytes, len - 16) ^ first ^ state, word(bytes, len - 8) ^ second);
        fold(mixed ^ third, (len as u64) ^ first)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut lane = [0; 8];
    lane.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(lane)
}

#[inline]
fn half(bytes: &[u8], at: usize) -> u64 {
    let mut lane = [0; 4];
    lane.copy_from_slice(&bytes[at..at + 4]);
    u64::from(u32::from_le_bytes(lane))
}

/// A key with its hash, computed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The database it is in.
    pub db: u32,
    /// The key's bytes.
    pub bytes: &'a [u8],
    /// Its hash under the seed of the keyspace at hand.
    pub hash: u64,
}

impl<'a> Key<'a> {
    /// The key of this name in another database.
    pub fn in_db(&self, db: u32) -> Key<'a> {
        Key { db, ..*self }
    }

    /// True when both are the same key.
    pub fn is(&self, other: &Key<'_>) -> bool {
        self.db == other.db && self.bytes == other.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_that_differ_little_spread_over_all_parts() {
        let seed = HashSeed::new([1, 2, 3]);
        let mut shards = [0u32; 64];
        let mut tags = HashSet::new();
        for number in 0..64_000 {
            let hash = seed.hash(format!("key:{number:012}").as_bytes());
            shards[(hash & 63) as usize] += 1;
            tags.insert(hash >> 48);
        }
        // Mean 1000, standard deviation 31: five of them on each side.
        assert!(shards.iter().all(|&count| (840..1160).contains(&count)), "{shards:?}");
        // 64,000 draws from 65,536 values leave about 41,000 distinct ones.
        assert!((39_000..43_000).contains(&tags.len()), "{}", tags.len());
    }

    #[test]
    fn every_length_and_every_byte_counts() {
        let seed = HashSeed::new([4, 5, 6]);
        let mut seen = HashSet::new();
        for len in 0..100 {
            let mut bytes = vec![0; len];
            assert!(seen.insert(seed.hash(&bytes)), "length {len}");
            for at in 0..len {
                bytes[at] = 1;
                assert!(seen.insert(seed.hash(&bytes)), "length {len} byte {at}");
                bytes[at] = 0;
            }
        }
    }
}
