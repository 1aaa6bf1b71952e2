//! The set of states seen: 64-bit fingerprints in one open-addressing table.
//!
//! Eight bytes a state, so 10^8 states fit in 2 GiB. Two states may share a fingerprint; with n states the chance
//! that any one was missed for it is about n / 2^64 each, which is the usual price of hash compaction.

use std::hash::{Hash, Hasher};

/// A growing set of fingerprints.
pub(super) struct Seen {
    slots: Vec<u64>,
    len: usize,
}

impl Seen {
    /// An empty set.
    pub(super) fn new() -> Self {
        Self { slots: vec![0; 1 << 16], len: 0 }
    }

    /// Adds a fingerprint; true if it is new.
    pub(super) fn insert(&mut self, fingerprint: u64) -> bool {
        // Zero marks a free slot.
        let fingerprint = fingerprint.max(1);
        if self.len * 10 >= self.slots.len() * 7 {
            let larger = vec![0; self.slots.len() * 2];
            let old = std::mem::replace(&mut self.slots, larger);
            for slot in old.into_iter().filter(|slot| *slot != 0) {
                self.place(slot);
            }
        }
        let new = self.place(fingerprint);
        self.len += usize::from(new);
        new
    }

    fn place(&mut self, fingerprint: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut index = fingerprint as usize & mask;
        loop {
            match self.slots[index] {
                0 => {
                    self.slots[index] = fingerprint;
                    return true;
                }
                other if other == fingerprint => return false,
                _ => index = (index + 1) & mask,
            }
        }
    }

    /// How many fingerprints there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::new()
    }
}

/// A fast 64-bit hasher with a fixed seed, so that counts are the same in every run.
#[derive(Default)]
pub(super) struct Fingerprint(u64);

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // Folded multiplication, as in wyhash (Wang Yi): both halves of the product depend on every input bit.
        let product = u128::from(self.0 ^ value ^ 0xa076_1d64_78bd_642f) * 0xe703_7ed1_a0b4_28db_u128;
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// The fingerprint of a value.
pub(super) fn fingerprint<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = Fingerprint::default();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fingerprint_is_new_once() {
        let mut seen = Seen::new();
        for number in 0..200_000_u64 {
            assert!(seen.insert(fingerprint(&number)));
        }
        for number in 0..200_000_u64 {
            assert!(!seen.insert(fingerprint(&number)));
        }
        assert_eq!(seen.len(), 200_000);
    }
}
