//! Small items in the order of their keys, in leaves that copies share.

use super::tree::{Place, Tree};

/// Items of a leaf from which on it is cut in two.
const LEAF_ITEMS_MAX: usize = 128;

/// What is in order.
pub(super) trait Item: Clone {
    /// What it is found by.
    type Key: Ord + Copy;

    /// Its key.
    fn key(&self) -> Self::Key;
}

/// Items, no two of one key.
#[derive(Clone, Debug)]
pub(super) struct Sorted<T: Item> {
    tree: Tree<T::Key, Vec<T>>,
    len: usize,
}

impl<T: Item> Default for Sorted<T> {
    fn default() -> Self {
        Sorted { tree: Tree::default(), len: 0 }
    }
}

impl<T: Item> Sorted<T> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn find(&self, key: T::Key) -> Option<(Place, usize)> {
        let place = self.tree.place_of(key)?;
        let at = self.tree.leaf(place).binary_search_by_key(&key, Item::key).ok()?;
        Some((place, at))
    }

    /// The item of a key.
    pub(super) fn get(&self, key: T::Key) -> Option<&T> {
        self.find(key).map(|(place, at)| &self.tree.leaf(place)[at])
    }

    /// The item of a key, to change all but the key.
    pub(super) fn get_mut(&mut self, key: T::Key) -> Option<&mut T> {
        let (place, at) = self.find(key)?;
        Some(&mut self.tree.leaf_mut(place)[at])
    }

    /// Puts an item in; false, and nothing done, if there is one of its key.
    pub(super) fn insert(&mut self, item: T) -> bool {
        let key = item.key();
        let Some(place) = self.tree.place_of(key).or_else(|| self.tree.first()) else {
            self.tree.insert(None, key, vec![item]);
            self.len = 1;
            return true;
        };
        let leaf = self.tree.leaf(place);
        let Err(at) = leaf.binary_search_by_key(&key, Item::key) else { return false };
        self.len += 1;
        if leaf.len() < LEAF_ITEMS_MAX {
            if at == 0 {
                self.tree.begin(place, key);
            }
            self.tree.leaf_mut(place).insert(at, item);
        } else if at == leaf.len() {
            self.tree.insert(Some(place), key, vec![item]);
        } else {
            if at == 0 {
                self.tree.begin(place, key);
            }
            let leaf = self.tree.leaf_mut(place);
            leaf.insert(at, item);
            let rest = leaf.split_off(leaf.len() / 2);
            self.tree.insert(Some(place), rest[0].key(), rest);
        }
        true
    }

    /// Takes the item of a key out.
    pub(super) fn remove(&mut self, key: T::Key) -> Option<T> {
        let (place, at) = self.find(key)?;
        self.len -= 1;
        if self.tree.leaf(place).len() == 1 {
            let item = self.tree.leaf(place)[0].clone();
            self.tree.remove(place);
            return Some(item);
        }
        Some(self.tree.leaf_mut(place).remove(at))
    }

    /// The items from a key on.
    pub(super) fn from(&self, key: T::Key) -> impl Iterator<Item = &T> {
        let mut place = self.tree.place_of(key).or_else(|| self.tree.first());
        let mut at = place.map_or(0, |place| self.tree.leaf(place).partition_point(|item| item.key() < key));
        std::iter::from_fn(move || {
            loop {
                let here = place?;
                if let Some(item) = self.tree.leaf(here).get(at) {
                    at += 1;
                    return Some(item);
                }
                (place, at) = (self.tree.behind(here), 0);
            }
        })
    }

    /// All items.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.tree.leaves().flatten()
    }

    /// Bytes of all allocations.
    pub(super) fn memory_bytes(&self) -> usize {
        self.tree.memory_bytes()
            + self.tree.leaves().map(|leaf| leaf.capacity() * size_of::<T>()).sum::<usize>()
    }

    /// How many allocations they are, roughly.
    pub(super) fn allocations(&self) -> usize {
        2 * self.tree.len()
    }
}
