//! Keys, their slots, and the rendezvous ranking that finds the home of a slot.
//!
//! A slot is computed as Redis Cluster computes it (CRC16 of the key or of its hash tag), so that keys of one tag
//! share a home. Homes are ranked by rendezvous hashing: when a member goes, only its slots move.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::ids::{NodeId, NodeSet};

/// Number of slots, as in Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// A slot of the key space, below [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The partition of its keys, one of `parts`, which is a power of two.
    pub fn part(self, parts: u16) -> u8 {
        (self.0 & (parts - 1)) as u8
    }

    /// The member of `members` that is home of this slot; `None` of an empty set.
    pub fn home(self, members: NodeSet) -> Option<NodeId> {
        members.iter().max_by_key(|node| (mix((u64::from(self.0) << 8) | u64::from(node.0)), *node))
    }
}

/// What a key lies in: the keys of one database, as long as it is not flushed. Which space a database has says the base
/// ([`Databases`](crate::Databases)); at first it is the one of its own number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub u16);

/// A key: its bytes and its space, with slot and hash computed once. The slot is that of the bytes, in whatever space.
///
/// As a client names it, its space is the one that its database had at first.
#[derive(Clone)]
pub struct Key {
    bytes: Arc<[u8]>,
    hash: u64,
    slot: Slot,
    space: Space,
}

impl Key {
    /// A key of these bytes, of database 0.
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: Arc::from(bytes), hash: hash_of(bytes), slot: slot_of(bytes), space: Space(0) }
    }

    /// The key of the same bytes in another space.
    #[must_use]
    pub fn in_space(&self, space: Space) -> Self {
        let salt = |space: Space| if space.0 == 0 { 0 } else { mix(u64::from(space.0)) };
        let hash = self.hash ^ salt(self.space) ^ salt(space);
        Self { bytes: Arc::clone(&self.bytes), hash, slot: self.slot, space }
    }

    /// Its space.
    #[inline]
    pub fn space(&self) -> Space {
        self.space
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The slot.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The partition, one of `parts`, which is a power of two.
    pub fn part(&self, parts: u16) -> u8 {
        self.slot.part(parts)
    }

    /// A 64-bit hash of bytes and space, the same on every node.
    pub fn hash64(&self) -> u64 {
        self.hash
    }

    /// What its home knows it by.
    pub fn mark(&self) -> Mark {
        Mark { slot: self.slot, hash: self.hash }
    }

    /// Whether it is another key that its home does not tell from this one.
    pub fn is_twin_of(&self, other: &Self) -> bool {
        self.mark() == other.mark() && self != other
    }

    /// One of many keys whose home does not tell them from each other: for tests and models. The tag chooses their slot.
    pub fn twin(tag: char, number: u16) -> Self {
        let first: [u8; 8] = *format!("{{{tag}}}{number:05}").as_bytes().first_chunk().expect("an ASCII tag");
        // Whatever the first word of a name does to the hash, the second can take back.
        let second = mix(16 ^ u64::from_le_bytes(first)) ^ mix(0);
        Self::new(&[first, second.to_le_bytes()].concat())
    }
}

/// What a home knows a key by: names that agree in it are *twins*. Walks through keys are in the order of their marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The key's slot.
    pub slot: Slot,
    /// Its hash.
    pub hash: u64,
}

impl Mark {
    /// Not after any key's.
    pub const FIRST: Self = Self { slot: Slot(0), hash: 0 };

    /// After every key's.
    pub const END: Self = Self { slot: Slot(SLOTS), hash: 0 };

    /// The one that comes next.
    #[must_use]
    pub fn next(self) -> Self {
        match self.hash.checked_add(1) {
            Some(hash) => Self { hash, ..self },
            None => Self { slot: Slot(self.slot.0 + 1), hash: 0 },
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.space == other.space
            && (Arc::ptr_eq(&self.bytes, &other.bytes)
                || self.hash == other.hash && self.bytes == other.bytes)
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// By bytes, then by space: the order in which an EXEC takes its tokens. So the slot of the first of some keys does not
/// depend on their spaces.
impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        let same = Arc::ptr_eq(&self.bytes, &other.bytes);
        let bytes = if same { Ordering::Equal } else { self.bytes.cmp(&other.bytes) };
        bytes.then(self.space.cmp(&other.space))
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.space != Space(0) {
            write!(f, "{}:", self.space.0)?;
        }
        write!(f, "{}", self.bytes.escape_ascii())
    }
}

/// Finaliser of SplitMix64 (Steele et al., 2014): every input bit reaches every output bit.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn hash_of(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(bytes.len() as u64, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(hash ^ u64::from_le_bytes(word))
    })
}

fn slot_of(bytes: &[u8]) -> Slot {
    let tag = bytes.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &bytes[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &rest[..length])
    });
    Slot(crc16(tag.unwrap_or(bytes)) % SLOTS)
}

/// CRC16, polynomial 0x1021, initial value 0 (XMODEM), as the Redis Cluster specification names it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_agree_with_the_redis_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(Key::new(b"foo").slot(), Slot(12182));
        assert_eq!(Key::new(b"{user1000}.following").slot(), Key::new(b"{user1000}.followers").slot());
        assert_eq!(Key::new(b"foo{}{bar}").slot(), Slot(crc16(b"foo{}{bar}") % SLOTS));
    }

    #[test]
    fn twins_differ_in_their_names_only() {
        let twins: Vec<Key> = (0..100).map(|number| Key::twin('t', number)).collect();
        assert!(twins[1..].iter().all(|twin| twin.is_twin_of(&twins[0])));
        assert!(!twins[0].is_twin_of(&twins[0]) && !Key::twin('u', 0).is_twin_of(&twins[0]));
    }

    #[test]
    fn keys_of_two_spaces_share_their_slot_only() {
        let (one, other) = (Key::new(b"foo"), Key::new(b"foo").in_space(Space(1)));
        assert_eq!((one.slot(), other.in_space(Space(0))), (other.slot(), one.clone()));
        assert!(one != other && one.mark() != other.mark() && one < other && other < Key::new(b"fop"));
    }

    #[test]
    fn only_the_slots_of_a_lost_member_move() {
        let all: NodeSet = (0..5).map(NodeId).collect();
        let fewer = all.without(NodeId(2));
        for slot in (0..SLOTS).map(Slot) {
            let before = slot.home(all).expect("members");
            if before != NodeId(2) {
                assert_eq!(slot.home(fewer), Some(before));
            }
        }
    }

    #[test]
    fn homes_are_spread_evenly() {
        let all: NodeSet = (0..5).map(NodeId).collect();
        for node in all.iter() {
            let share = (0..SLOTS).filter(|slot| Slot(*slot).home(all) == Some(node)).count();
            assert!((2_900..3_700).contains(&share), "{node:?} is home of {share} slots");
        }
    }
}
