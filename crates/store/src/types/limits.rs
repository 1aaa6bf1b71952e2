//! Up to where a value is stored in its small form, and how large its nodes may become: plain data, with Redis 8.6's
//! defaults.
//!
//! No op depends on a limit: two servers with other limits hold the same values. The keyspace holds them as atomic
//! words ([`SharedLimits`]), which a change of a value reads once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::set::SetLimits;

/// The limits of every type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingLimits {
    /// `list-max-listpack-size`.
    pub list_node: NodeLimit,
    /// Of sets.
    pub set: SetLimits,
    /// `hash-max-listpack-entries` and `hash-max-listpack-value`.
    pub hash: PackedLimit,
    /// `zset-max-listpack-entries` and `zset-max-listpack-value`.
    pub sorted_set: PackedLimit,
    /// `stream-node-max-bytes` and `stream-node-max-entries`.
    pub stream_node: StreamNodeLimit,
}

impl Default for EncodingLimits {
    fn default() -> Self {
        EncodingLimits {
            list_node: NodeLimit::default(),
            set: SetLimits::default(),
            hash: PackedLimit { members: 512, bytes: 64 },
            sorted_set: PackedLimit { members: 128, bytes: 64 },
            stream_node: StreamNodeLimit { bytes: 4096, entries: 100 },
        }
    }
}

/// How large a page of a stream may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamNodeLimit {
    /// Most bytes, as Redis counts them; 0 for no limit.
    pub bytes: u32,
    /// Most entries; 0 for no limit.
    pub entries: u32,
}

impl StreamNodeLimit {
    /// The bytes that there may be less than.
    pub(crate) fn bytes(self) -> usize {
        if self.bytes == 0 { super::stream::ENTRY_BYTES_MAX } else { self.bytes as usize }
    }

    /// The entries that there may be.
    pub(crate) fn entries(self) -> u32 {
        if self.entries == 0 { u32::MAX } else { self.entries }
    }
}

/// Up to where a collection without an order is one packed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedLimit {
    /// Most members.
    pub members: u32,
    /// Most bytes of a member.
    pub bytes: u32,
}

/// How large a node of a list may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeLimit {
    /// Most bytes of several elements.
    pub bytes: u32,
    /// Most elements; `u32::MAX` for as many as fit.
    pub elements: u32,
}

/// The sizes that -1 to -5 stand for (Redis: `optimization_level`).
const LEVELS_BYTES: [u32; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
/// Most bytes of a node whose elements are counted (Redis: `SIZE_SAFETY_LIMIT`).
const COUNTED_BYTES_MAX: u32 = 8 << 10;

/// Bytes of a listpack without elements.
const LISTPACK_BYTES: usize = 7;

impl NodeLimit {
    /// What a number means as `list-max-listpack-size`: this many elements, or a size from -1, 4 kB, to -5, 64 kB.
    pub fn of_number(number: i32) -> NodeLimit {
        match usize::try_from(number) {
            Ok(elements) => NodeLimit { bytes: COUNTED_BYTES_MAX, elements: elements.max(1) as u32 },
            Err(_) => {
                let level = number.unsigned_abs().min(LEVELS_BYTES.len() as u32) as usize - 1;
                NodeLimit { bytes: LEVELS_BYTES[level], elements: u32::MAX }
            }
        }
    }

    /// True if a value of this content may be one packed value: what comes is counted with its bytes, what is there as
    /// encoded (Redis: `quicklistNodeExceedsLimit`).
    #[inline(always)]
    pub(crate) fn packs(self, bytes: usize, count: usize) -> bool {
        bytes + LISTPACK_BYTES <= self.bytes as usize && count <= self.elements as usize
    }

    /// True if a value that has been big may be one packed value again (Redis: `listTypeTryConvertQuicklist`).
    pub(crate) fn packs_again(self, bytes: usize, count: usize) -> bool {
        let is_counted = self.elements < u32::MAX;
        let bytes_max = if is_counted { self.bytes } else { self.bytes / 2 };
        NodeLimit { bytes: bytes_max, elements: self.elements / 2 }.packs(bytes, count)
    }
}

impl Default for NodeLimit {
    fn default() -> Self {
        NodeLimit::of_number(-2)
    }
}

/// The limits of a keyspace, which may change while it is used.
#[derive(Debug)]
pub(crate) struct SharedLimits {
    list_node: AtomicU64,
    set_integers: AtomicU64,
    set_packed: AtomicU64,
    hash_packed: AtomicU64,
    sorted_set_packed: AtomicU64,
    stream_node: AtomicU64,
}

impl Default for SharedLimits {
    fn default() -> Self {
        let [list_node, set_integers, set_packed, hash_packed, sorted_set_packed, stream_node] =
            [const { AtomicU64::new(0) }; 6];
        let limits =
            SharedLimits { list_node, set_integers, set_packed, hash_packed, sorted_set_packed, stream_node };
        limits.set(EncodingLimits::default());
        limits
    }
}

impl SharedLimits {
    pub(crate) fn set(&self, limits: EncodingLimits) {
        let store = |word: &AtomicU64, high: u32, low: u32| {
            word.store(u64::from(high) << 32 | u64::from(low), Ordering::Relaxed);
        };
        let EncodingLimits { list_node, set, hash, sorted_set, stream_node } = limits;
        store(&self.list_node, list_node.elements, list_node.bytes);
        store(&self.set_integers, 0, set.integers);
        store(&self.set_packed, set.packed.members, set.packed.bytes);
        store(&self.hash_packed, hash.members, hash.bytes);
        store(&self.sorted_set_packed, sorted_set.members, sorted_set.bytes);
        store(&self.stream_node, stream_node.entries, stream_node.bytes);
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> EncodingLimits {
        let load = |word: &AtomicU64| {
            let word = word.load(Ordering::Relaxed);
            ((word >> 32) as u32, word as u32)
        };
        let packed = |word| {
            let (members, bytes) = load(word);
            PackedLimit { members, bytes }
        };
        let ((elements, bytes), (_, integers)) = (load(&self.list_node), load(&self.set_integers));
        let (page_entries, page_bytes) = load(&self.stream_node);
        EncodingLimits {
            list_node: NodeLimit { bytes, elements },
            set: SetLimits { integers, packed: packed(&self.set_packed) },
            hash: packed(&self.hash_packed),
            sorted_set: packed(&self.sorted_set_packed),
            stream_node: StreamNodeLimit { bytes: page_bytes, entries: page_entries },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_they_mean_in_redis() {
        for (number, bytes, elements) in [
            (-1, 4096, u32::MAX),
            (-2, 8192, u32::MAX),
            (-5, 65_536, u32::MAX),
            (-6, 65_536, u32::MAX),
            (i32::MIN, 65_536, u32::MAX),
            (0, 8192, 1),
            (1, 8192, 1),
            (128, 8192, 128),
        ] {
            let limit = NodeLimit { bytes, elements };
            assert_eq!(NodeLimit::of_number(number), limit, "{number}");
            let shared = SharedLimits::default();
            let limits = EncodingLimits { list_node: limit, ..EncodingLimits::default() };
            shared.set(limits);
            assert_eq!(shared.get(), limits);
        }
    }
}
