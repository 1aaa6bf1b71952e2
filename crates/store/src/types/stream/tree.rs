//! Leaves in the order of what they begin with, which copies share.
//!
//! ```text
//! tree -> blocks of up to 128 leaves -> leaf
//! ```
//!
//! Blocks and leaves are counted and copied before they are changed: a copy of a tree is a copy of its list of blocks, and
//! a write then copies a block and a leaf. A leaf is found by two binary searches.

use std::sync::Arc;

/// Leaves of a block from which on it is cut in two.
const BLOCK_LEAVES_MAX: usize = 128;

/// A sequence of leaves, none of which is empty.
#[derive(Clone, Debug)]
pub(super) struct Tree<K, L> {
    blocks: Vec<Arc<Block<K, L>>>,
}

/// Leaves, each with what it begins with.
type Block<K, L> = Vec<(K, Arc<L>)>;

/// Where a leaf is; good until leaves come or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    block: usize,
    leaf: usize,
}

impl<K, L> Default for Tree<K, L> {
    fn default() -> Self {
        Tree { blocks: Vec::new() }
    }
}

impl<K: Ord + Copy, L: Clone> Tree<K, L> {
    /// The last leaf that begins with this key or below it.
    #[inline]
    pub(super) fn place_of(&self, key: K) -> Option<Place> {
        let block = self.blocks.partition_point(|block| block[0].0 <= key).checked_sub(1)?;
        let leaf = self.blocks[block].partition_point(|(start, _)| *start <= key) - 1;
        Some(Place { block, leaf })
    }

    /// The first leaf.
    pub(super) fn first(&self) -> Option<Place> {
        (!self.blocks.is_empty()).then_some(Place { block: 0, leaf: 0 })
    }

    /// The last leaf.
    #[inline]
    pub(super) fn last(&self) -> Option<Place> {
        let block = self.blocks.len().checked_sub(1)?;
        Some(Place { block, leaf: self.blocks[block].len() - 1 })
    }

    /// The leaf behind another.
    pub(super) fn behind(&self, Place { block, leaf }: Place) -> Option<Place> {
        if leaf + 1 < self.blocks[block].len() {
            return Some(Place { block, leaf: leaf + 1 });
        }
        (block + 1 < self.blocks.len()).then_some(Place { block: block + 1, leaf: 0 })
    }

    /// The leaf before another.
    pub(super) fn before(&self, Place { block, leaf }: Place) -> Option<Place> {
        if leaf > 0 {
            return Some(Place { block, leaf: leaf - 1 });
        }
        let block = block.checked_sub(1)?;
        Some(Place { block, leaf: self.blocks[block].len() - 1 })
    }

    /// A leaf.
    #[inline]
    pub(super) fn leaf(&self, Place { block, leaf }: Place) -> &L {
        &self.blocks[block][leaf].1
    }

    /// A leaf, to change.
    #[inline]
    pub(super) fn leaf_mut(&mut self, Place { block, leaf }: Place) -> &mut L {
        Arc::make_mut(&mut Arc::make_mut(&mut self.blocks[block])[leaf].1)
    }

    /// Says that a leaf begins with a lower key now, which is above the leaf before it.
    pub(super) fn begin(&mut self, Place { block, leaf }: Place, start: K) {
        Arc::make_mut(&mut self.blocks[block])[leaf].0 = start;
    }

    /// Puts a leaf behind another; `None`: before all.
    pub(super) fn insert(&mut self, behind: Option<Place>, start: K, leaf: L) {
        let entry = (start, Arc::new(leaf));
        let Some(first) = self.blocks.first() else { return self.blocks.push(Arc::new(vec![entry])) };
        debug_assert!(behind.is_some() || start < first[0].0);
        let (block, at) = behind.map_or((0, 0), |place| (place.block, place.leaf + 1));
        let is_at_end = block + 1 == self.blocks.len() && at == self.blocks[block].len();
        if self.blocks[block].len() < BLOCK_LEAVES_MAX {
            return Arc::make_mut(&mut self.blocks[block]).insert(at, entry);
        }
        if is_at_end {
            return self.blocks.push(Arc::new(vec![entry]));
        }
        let leaves = Arc::make_mut(&mut self.blocks[block]);
        leaves.insert(at, entry);
        let rest = leaves.split_off(leaves.len() / 2);
        self.blocks.insert(block + 1, Arc::new(rest));
    }

    /// Takes a leaf out.
    pub(super) fn remove(&mut self, Place { block, leaf }: Place) {
        let leaves = Arc::make_mut(&mut self.blocks[block]);
        leaves.remove(leaf);
        if leaves.is_empty() {
            self.blocks.remove(block);
        }
    }

    /// All leaves.
    pub(super) fn leaves(&self) -> impl DoubleEndedIterator<Item = &L> {
        self.blocks.iter().flat_map(|block| block.iter().map(|(_, leaf)| &**leaf))
    }

    /// Number of leaves.
    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.len()).sum()
    }

    /// Bytes of allocations, those that leaves have of their own aside; what is shared with a copy counts for both.
    pub(super) fn memory_bytes(&self) -> usize {
        /// The two counters of an `Arc`.
        const COUNTERS_BYTES: usize = 16;
        let blocks = self.blocks.iter().map(|block| {
            COUNTERS_BYTES + size_of::<Block<K, L>>() + block.capacity() * size_of::<(K, Arc<L>)>()
        });
        let leaves = self.len() * (COUNTERS_BYTES + size_of::<L>());
        self.blocks.capacity() * size_of::<usize>() + blocks.sum::<usize>() + leaves
    }
}
